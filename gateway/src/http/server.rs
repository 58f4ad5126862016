//! The listener: connections with time limits and a cap, which `axum::serve` does not have. Upgraded
//! connections keep their place and their limit on stalled writes.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use adjutant_core::limits;
use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::router::router;
use super::stall::Stalling;
use crate::app::App;
use crate::auth::extract::Peer;

/// Head of a request, in bytes.
const HEAD_BYTES: usize = 64 * 1024;
/// After a failed accept, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Ends the server in two steps.
#[derive(Debug, Clone, Default)]
pub struct Ending {
    /// No new connections and no further requests; what is under way is finished.
    pub gently: CancellationToken,
    /// What is still under way is cut.
    pub now: CancellationToken,
}

/// Accepts connections until it is told to end.
pub async fn serve(listener: TcpListener, app: App, ending: Ending) {
    let connections = Arc::new(Semaphore::new(limits::CONNECTIONS));
    let router = router(app.clone());
    loop {
        let accepted = async {
            let place = Arc::clone(&connections).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = ending.gently.cancelled() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                // Small frames must not wait for the acknowledgement of earlier ones.
                let _ = stream.set_nodelay(true);
                let stream = Stalling::new(stream, place.ok());
                let service = peer_service(app.clone(), router.clone(), peer);
                app.supervisor().spawn("connection", connection(stream, service, ending.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection<S>(stream: Stalling<TcpStream>, service: S, ending: Ending)
where
    S: Service<hyper::Request<Incoming>, Response = hyper::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits::HEADER_READ).max_buf_size(HEAD_BYTES);
    let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let result = tokio::select! {
        result = serving.as_mut() => result,
        () = ending.gently.cancelled() => {
            serving.as_mut().graceful_shutdown();
            tokio::select! {
                result = serving => result,
                () = ending.now.cancelled() => return,
            }
        }
    };
    if let Err(error) = result {
        // Clients go away, send nonsense or stall: nothing that an operator could act on.
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Tells the router who is calling.
fn peer_service(
    app: App,
    router: Router,
    peer: SocketAddr,
) -> impl Service<hyper::Request<Incoming>, Response = hyper::Response<Body>, Error = Infallible, Future: Send + 'static>
{
    let inner = TowerToHyperService::new(router);
    service_fn(move |mut request: hyper::Request<Incoming>| {
        let address = client_address(app.config().doors.behind_proxy, request.headers(), peer);
        request.extensions_mut().insert(Peer(address));
        inner.call(request)
    })
}

/// Behind a proxy the last address that it saw, which clients cannot choose.
fn client_address(behind_proxy: bool, headers: &http::HeaderMap, peer: SocketAddr) -> IpAddr {
    let forwarded = || {
        let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
        last.rsplit(',').next()?.trim().parse().ok()
    };
    behind_proxy.then(forwarded).flatten().unwrap_or(peer.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_cannot_choose_its_address() {
        let headers = [("x-forwarded-for".parse().unwrap(), "1.1.1.1, 2.2.2.2".parse().unwrap())].into_iter().collect();
        let peer: SocketAddr = "127.0.0.1:9".parse().unwrap();
        assert_eq!(client_address(false, &headers, peer).to_string(), "127.0.0.1");
        assert_eq!(client_address(true, &headers, peer).to_string(), "2.2.2.2");
        assert_eq!(client_address(true, &http::HeaderMap::new(), peer).to_string(), "127.0.0.1");
    }
}

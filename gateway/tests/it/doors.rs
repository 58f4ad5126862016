//! What every door has in common: health, hosts, origins, methods, time limits, ids of requests.

use std::time::Duration;

use adjutant::http::router::{Auth, ROUTES, framed};
use adjutant_core::limits;
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::Request;
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::server::{KEY, TestServer, answer};

#[tokio::test]
async fn the_doors_without_a_key_are_the_listed_ones() {
    let server = TestServer::start().await;
    let open: Vec<&str> = ROUTES.iter().filter(|route| route.auth == Auth::None).map(|route| route.path).collect();
    assert_eq!(open, ["/api/health", "/readyz", "/api/openapi.json", "/", "/{*page}"]);
    for path in open.into_iter().map(|path| path.replace("{*page}", "chat")) {
        assert_eq!(answer(server.request("GET", &path)).await.status, 200, "{path}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_server_without_its_database_is_alive_but_not_ready() {
    let server = TestServer::start().await;
    let admin = server.db.admin();
    let name: String = sqlx::query_scalar("select current_database()").fetch_one(&admin).await.unwrap();
    admin.close().await;
    let maintenance = server.db.admin_url().replace(&format!("/{name}?"), "/postgres?");
    let maintenance = sqlx::PgPool::connect(&maintenance).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "alter database {name} connection limit 0;
         select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
    )))
    .execute(&maintenance)
    .await
    .unwrap();
    assert_eq!(answer(server.request("GET", "/api/health")).await.status, 200);
    answer(server.request("GET", "/readyz")).await.is_problem(503, "not_ready", "readyz");
    server.get("/api/threads", KEY).await.is_problem(503, "database_unavailable", "threads");
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("alter database {name} connection limit -1")))
        .execute(&maintenance)
        .await
        .unwrap();
    crate::server::soon("ready again", || async { answer(server.request("GET", "/readyz")).await.status == 200 }).await;
    assert_eq!(server.get("/api/threads", KEY).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems_too() {
    let server = TestServer::start().await;
    for path in ["/nope", "/api", "/api/threads/", "/api/threads/x/y/z", "//", "/%ff"] {
        answer(server.request("GET", path)).await.is_problem(404, "not_found", path);
    }
    for route in ROUTES {
        let path = route.path.replace("{id}", "x");
        answer(server.request("TRACE", &path).header("accept", "application/json")).await.is_refused(
            405,
            "method_not_allowed",
            route.path,
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn only_the_servers_own_names_are_answered() {
    let server = TestServer::start_with(&[("ADJUTANT_ALLOWED_HOSTS", "cos.example.org")]).await;
    let ask = async |head: &str| {
        let answer = server.raw(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes()).await;
        String::from_utf8(answer).unwrap()
    };
    for host in ["localhost", "127.0.0.1:1", "[::1]:2", "cos.example.org", "COS.example.org:443"] {
        let answer = ask(&format!("GET /api/health HTTP/1.1\r\nhost: {host}")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
    }
    for (head, status, code) in [
        ("GET /api/health HTTP/1.1\r\nhost: evil.example", 421, "host_not_allowed"),
        ("GET /api/health HTTP/1.1\r\nhost: cos.example.org.evil.example", 421, "host_not_allowed"),
        ("GET /api/health HTTP/1.1\r\nhost: localhost\r\nhost: evil.example", 421, "host_not_allowed"),
        ("GET http://evil.example/api/health HTTP/1.1\r\nhost: localhost", 421, "host_not_allowed"),
        ("GET /nope HTTP/1.1\r\nhost: evil.example", 421, "host_not_allowed"),
        ("GET /api/health HTTP/1.0\r\nx: y", 400, "host_missing"),
    ] {
        let answer = ask(head).await;
        assert!(answer.contains(&format!(" {status} ")) && answer.contains(code), "{head}: {answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn pages_of_other_origins_change_nothing() {
    let server = TestServer::start_with(&[("ADJUTANT_ALLOWED_ORIGINS", "https://ui.example.org")]).await;
    let own = format!("http://{}", server.address);
    for route in ROUTES.iter().filter(|route| route.method != http::Method::GET) {
        let path = route.path.replace("{id}", &adjutant_core::ids::RunId::new().to_string());
        let from = |origin: &str| {
            server
                .request(route.method.as_str(), &path)
                .bearer_auth(KEY)
                .header("origin", origin)
                .header("accept", "application/json")
        };
        for bad in ["https://evil.example", "null", "http://localhost", "https://ui.example.org.evil.example"] {
            answer(from(bad)).await.is_refused(403, "origin_not_allowed", &path);
        }
        for good in [own.as_str(), "https://ui.example.org"] {
            assert_ne!(answer(from(good)).await.status, 403, "{path} from {good}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn the_clients_request_id_comes_back_when_it_is_plain() {
    let server = TestServer::start().await;
    for (given, kept) in [("abc-123", true), ("a b", false), ("\"}", false), ("", false)] {
        let response = server.request("GET", "/nope").header("x-request-id", given).send().await.unwrap();
        let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        assert_eq!(id == given, kept, "{given}");
        let body: serde_json::Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(body["requestId"], id);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_half_sent_head_is_cut_and_a_busy_server_answers_meanwhile() {
    let server = TestServer::start().await;
    let mut halves = Vec::new();
    for half in ["", "GET", "GET /api/health HTTP/1.1\r\nhost: local"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(half.as_bytes()).await.unwrap();
        halves.push(stream);
    }
    let begun = Instant::now();
    assert_eq!(answer(server.request("GET", "/api/health")).await.status, 200);
    for mut stream in halves {
        let mut rest = Vec::new();
        let ceiling = limits::HEADER_READ + Duration::from_secs(5);
        let _ = timeout(ceiling, stream.read_to_end(&mut rest)).await.expect("the connection is cut");
    }
    assert!(begun.elapsed() + Duration::from_secs(1) >= limits::HEADER_READ);
    server.stop().await;
}

#[tokio::test]
async fn heads_that_are_no_http_are_refused() {
    let server = TestServer::start().await;
    let long = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(200_000));
    let many = format!("GET / HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: y\r\n".repeat(1_000));
    for head in ["\x16\x03\x01\x02\0\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", &long, &many] {
        let answer = server.raw(head.as_bytes()).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(answer(server.request("GET", "/api/health")).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_panic_is_counted_and_answered_with_an_id() {
    let server = TestServer::start().await;
    let routes = Router::new().route("/panic", get(async || -> &'static str { panic!("a bug") }));
    let service = TowerToHyperService::new(framed(server.app.clone(), routes));
    let request = Request::get("/panic").header("host", "localhost").body(Body::empty()).unwrap();
    let response = service.call(request).await.unwrap();
    assert_eq!(response.status(), 500);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["code"], "internal");
    assert!(!body["requestId"].as_str().unwrap().is_empty() && !body.to_string().contains("a bug"), "{body}");
    assert_eq!(server.app.supervisor().panics(), 1);
}

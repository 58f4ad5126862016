//! Who opens a WebSocket. Beside the headers, the upgrade alone may carry its key or a ticket in the query; never a
//! cookie, which a browser would also send for a page of somebody else.

use adjutant_store::tickets::TicketOf;
use http::request::Parts;

use crate::app::App;
use crate::auth::extract::{self, Tries, UserScope};
use crate::auth::key::Digest;
use crate::auth::origin;
use crate::auth::presented::{self, Credential, Upgrading};
use crate::problem::Problem;

/// Resolves the key or the ticket of an upgrade request, and refuses web pages of other origins.
pub async fn identify_upgrade(app: &App, parts: &Parts) -> Result<UserScope, Problem> {
    origin::check_origin(&app.config().doors, &parts.headers)?;
    match presented::in_upgrade(&parts.headers, parts.uri.query()) {
        Upgrading::Nothing => Err(Problem::unauthorized()),
        Upgrading::Key(key) => extract::identify(app, parts, Some(Credential::Key(key))).await,
        Upgrading::Ticket(ticket) => by_ticket(app, parts, &ticket).await,
    }
}

/// A ticket is used up before anything else is looked at, whatever becomes of this request.
async fn by_ticket(app: &App, parts: &Parts, presented: &Digest) -> Result<UserScope, Problem> {
    origin::require_origin(&parts.headers)?;
    let tries = Tries::of(app, parts)?;
    let Some(ticket) = app.store().ticket_take(presented).await? else { return Err(tries.wrong()) };
    let credential = match ticket.by {
        TicketOf::Key(hash) => Credential::Key(hash),
        TicketOf::Device(hash) => Credential::Device(hash),
    };
    let identity = extract::authenticate(app, parts, Some(credential)).await?;
    let profile = extract::choose_profile(parts, Some(&ticket.owner.profile))?;
    extract::scope_of(app, identity, profile).await
}

//! Who there is: counts alone, never names, so that the report can be shown to others.

use adjutant_core::scope::Owner;
use adjutant_store::error::StoreError;
use adjutant_store::mcp_servers;
use adjutant_store::store::Store;
use adjutant_store::users::{self, UserEntry};

use super::{Check, State, check};

const AREA: &str = "people";
/// More owners are not looked into: a report must come soon.
const LOOKED_INTO: usize = 200;

pub(super) async fn checks(store: &Store) -> Vec<Check> {
    match look(store).await {
        Ok(checks) => checks,
        Err(error) => vec![check(AREA, "users", State::Failed, error.to_string())],
    }
}

async fn look(store: &Store) -> Result<Vec<Check>, StoreError> {
    let users = store.system("doctor counts users", async |tx| users::list(tx).await).await?;
    let active: Vec<&UserEntry> = users.iter().filter(|user| !user.is_disabled).collect();
    let profiles: usize = active.iter().map(|user| user.profiles.len()).sum();
    let without_key = active.iter().filter(|user| user.valid_keys == 0).count();
    let paid_for = active.iter().filter(|user| user.allow_operator_llm).count();
    let disabled = users.len() - active.len();
    let detail = format!(
        "{} active with {profiles} profiles, {disabled} disabled; {paid_for} may use the operator's model keys",
        active.len()
    );
    let mut checks = vec![check(AREA, "users", State::Ok, detail)];
    if without_key > 0 {
        let detail = format!("{without_key} users have no valid key; `adjutant key create --user NAME` makes one");
        checks.push(check(AREA, "keys", State::Warning, detail));
    }
    let owners: Vec<Owner> = active
        .iter()
        .flat_map(|user| {
            user.profiles.iter().map(|profile| Owner { user: user.user.clone(), profile: profile.clone() })
        })
        .take(LOOKED_INTO)
        .collect();
    let (mut servers, mut enabled) = (0, 0);
    for owner in &owners {
        let found = store.scoped(owner, async |tx| mcp_servers::list(tx).await).await?;
        servers += found.len();
        enabled += found.iter().filter(|server| server.enabled).count();
    }
    let of =
        if owners.len() < profiles { format!("in the first {} profiles", owners.len()) } else { "in all".to_owned() };
    let detail =
        format!("{servers} that people added, {enabled} of them switched on ({of}); each person sees their state");
    checks.push(check("mcp", "servers of users", State::Ok, detail));
    Ok(checks)
}

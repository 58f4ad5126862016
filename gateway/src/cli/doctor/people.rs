//! Who there is: counts alone, never names, so that the report can be shown to others.

use adjutant_core::limits;
use adjutant_core::scope::Owner;
use adjutant_store::error::StoreError;
use adjutant_store::store::Store;
use adjutant_store::users::{self, UserEntry};
use adjutant_store::{files, mcp_servers};

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
    checks.push(room(store, &active).await?);
    Ok(checks)
}

/// How much of their room for files people use.
async fn room(store: &Store, active: &[&UserEntry]) -> Result<Check, StoreError> {
    let owners = active
        .iter()
        .filter_map(|user| Some(Owner { user: user.user.clone(), profile: user.profiles.first()?.clone() }));
    let mut used = Vec::new();
    for owner in owners.take(LOOKED_INTO) {
        used.push(store.scoped(&owner, async |tx| files::used(tx).await).await?);
    }
    let quota = limits::USER_FILE_BYTES;
    let (total, most) = (used.iter().sum::<u64>(), used.iter().max().copied().unwrap_or_default());
    let tight = used.iter().filter(|used| **used >= quota / 10 * 9).count();
    let detail = format!("{} in all; who has most uses {} of {}", size(total), size(most), size(quota));
    Ok(if tight == 0 {
        check(AREA, "files", State::Ok, detail)
    } else {
        let detail = format!("{detail}; {tight} users have little or none left, until they delete some of theirs");
        check(AREA, "files", State::Warning, detail)
    })
}

/// In the largest unit that it fills.
fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    match units.into_iter().find(|(shift, _)| bytes >> shift > 0) {
        // One decimal, downwards, without a float.
        Some((shift, unit)) => {
            let tenths = (u128::from(bytes) * 10) >> shift;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_size_is_told_in_the_largest_unit_that_it_fills() {
        let told = [0, 1023, 1024, 1536, 2_147_483_648, u64::MAX].map(super::size);
        assert_eq!(told, ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 KiB", "2.0 GiB", "17179869183.9 GiB"]);
    }
}

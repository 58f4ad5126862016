//! The operator's profiles become rows. What a person changed since stays as they left it.

use adjutant_core::profile::ProfileOrigin;
use adjutant_core::scope::Owner;
use adjutant_store::profiles::{self, Written};
use adjutant_store::store::Store;
use adjutant_store::users::{self, NewUser};
use anyhow::{Context, Result};

use crate::config::profiles::Profiles;

pub(super) async fn seed(store: &Store, file: &Profiles) -> Result<()> {
    for entry in &file.entries {
        let user = NewUser { user: entry.user.clone(), display_name: String::new(), allow_operator_llm: false };
        let owner = Owner { user: entry.user.clone(), profile: entry.name.clone() };
        let seeded = async {
            store.system("a user of the operator's profiles", async |tx| users::add(tx, &user).await).await?;
            store.scoped(&owner, async |tx| profiles::put(tx, &entry.settings, ProfileOrigin::File).await).await
        };
        let written =
            seeded.await.with_context(|| format!("the profile {} of {} cannot be stored", entry.name, entry.user))?;
        if written == Written::Kept {
            tracing::info!(user.id = %entry.user, profile = %entry.name, "a person changed this profile: the file is not applied");
        }
    }
    Ok(())
}

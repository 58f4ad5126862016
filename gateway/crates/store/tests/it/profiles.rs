//! Users and profiles: what the doors to them reveal and to whom, and what a run's rights are at each moment.

use adjutant_core::profile::{ProfileOrigin, ProfileSettings};
use adjutant_core::scope::{Owner, Rights, Role, UserId};
use adjutant_store::error::StoreError;
use adjutant_store::keys::{self, KeyIdentity, KeyProfile, NewKey};
use adjutant_store::profiles::{self, Deletion, Written};
use adjutant_store::store::Store;
use adjutant_store::users::{self, NewUser, UserChange};
use adjutant_testkit::db::owner;
use sqlx::{AssertSqlSafe, Executor};

use crate::support::{bench, fill, owners, user_tables};

async fn add(store: &Store, user: &str, allow_operator_llm: bool) -> bool {
    let new = NewUser { user: UserId::parse(user).unwrap(), display_name: String::new(), allow_operator_llm };
    store.system("test", async |tx| users::add(tx, &new).await).await.unwrap()
}

async fn change(store: &Store, user: &str, change: UserChange) -> Result<(), StoreError> {
    let user = UserId::parse(user).unwrap();
    store.system("test", async |tx| users::change(tx, &user, change).await).await
}

async fn key(store: &Store, id: &str, user: &str, profile: &str, allow_operator_llm: bool) {
    let identity = KeyIdentity {
        key_id: id.to_owned(),
        user: UserId::parse(user).unwrap(),
        profile: KeyProfile::parse(profile).unwrap(),
        role: Role::Admin,
        allow_operator_llm,
    };
    let mut hash = [0; 32];
    hash[..id.len()].copy_from_slice(id.as_bytes());
    let new = NewKey { identity, hash, label: String::new() };
    store.system("test", async |tx| keys::create(tx, &new).await).await.unwrap();
}

async fn looked_up(store: &Store, id: &str) -> Option<bool> {
    let mut hash = [0; 32];
    hash[..id.len()].copy_from_slice(id.as_bytes());
    store.key_lookup(&hash).await.unwrap().map(|identity| identity.allow_operator_llm)
}

async fn rights(store: &Store, owner: &Owner, key: Option<&str>) -> (bool, bool, Role) {
    let Rights { is_active, operator_llm, role } =
        store.scoped(owner, async |tx| users::rights(tx, key).await).await.unwrap();
    let employer = store.scoped(owner, async |tx| profiles::employer(tx, key).await).await.unwrap();
    assert_eq!(employer.rights, Rights { is_active, operator_llm, role });
    (is_active, operator_llm, role)
}

async fn put(store: &Store, owner: &Owner, text: &str, origin: ProfileOrigin) -> Written {
    let settings = ProfileSettings { user_context: Some(text.to_owned()), ..ProfileSettings::default() };
    store.scoped(owner, async |tx| profiles::put(tx, &settings, origin).await).await.unwrap()
}

async fn context(store: &Store, owner: &Owner) -> Option<String> {
    let loaded = store.scoped(owner, async |tx| profiles::load(tx).await).await;
    match loaded {
        Ok(profile) => profile.settings.user_context,
        Err(StoreError::NotFound) => None,
        Err(error) => panic!("{error:?}"),
    }
}

async fn names(store: &Store, owner: &Owner) -> Vec<String> {
    let names = store.scoped(owner, async |tx| profiles::names(tx).await).await.unwrap();
    names.iter().map(|entry| entry.name.to_string()).collect()
}

#[tokio::test]
async fn a_keys_flag_narrows_the_grant_of_its_user_and_never_widens_it() {
    let bench = bench().await;
    let store = &bench.db.store;
    assert!(add(store, "anna", false).await && !add(store, "anna", true).await, "the second changes nothing");
    key(store, "wide", "anna", "*", true).await;
    key(store, "thin", "anna", "*", false).await;
    let grant = |to: bool| UserChange { allow_operator_llm: Some(to), is_disabled: None };
    for (granted, wide, thin) in [(false, false, false), (true, true, false), (false, false, false)] {
        change(store, "anna", grant(granted)).await.unwrap();
        assert_eq!((looked_up(store, "wide").await, looked_up(store, "thin").await), (Some(wide), Some(thin)));
        let anna = owner("anna", "personal");
        assert_eq!(rights(store, &anna, Some("wide")).await, (true, wide, Role::Admin));
        assert_eq!(rights(store, &anna, Some("thin")).await, (true, thin, Role::Admin));
        assert_eq!(rights(store, &anna, None).await, (true, granted, Role::Personal));
    }
    assert!(matches!(change(store, "zoe", grant(true)).await, Err(StoreError::NotFound)));
    // A new user gets what their first key has, and an older one keeps what they had.
    key(store, "bens", "ben", "work", true).await;
    assert_eq!(looked_up(store, "bens").await, Some(true));
    assert_eq!(names(store, &owner("ben", "work")).await, ["personal", "work"]);
}

#[tokio::test]
async fn a_disabled_user_and_a_revoked_key_may_do_nothing() {
    let bench = bench().await;
    let store = &bench.db.store;
    key(store, "mine", "anna", "work", true).await;
    let (work, personal) = (owner("anna", "work"), owner("anna", "personal"));
    assert_eq!(rights(store, &work, Some("mine")).await, (true, true, Role::Admin));
    assert!(!rights(store, &personal, Some("mine")).await.0, "the key of another profile");
    assert!(!rights(store, &owner("ben", "work"), Some("mine")).await.0, "the key of another user");
    assert!(!rights(store, &work, Some("nobodys")).await.0);
    let disabled = |is| UserChange { allow_operator_llm: None, is_disabled: Some(is) };
    change(store, "anna", disabled(true)).await.unwrap();
    assert_eq!(looked_up(store, "mine").await, None);
    assert!(!rights(store, &work, Some("mine")).await.0);
    assert_eq!(rights(store, &work, None).await, (false, false, Role::Personal));
    change(store, "anna", disabled(false)).await.unwrap();
    assert!(rights(store, &work, Some("mine")).await.0);
    store.system("test", async |tx| keys::revoke(tx, "mine").await).await.unwrap();
    assert!(!rights(store, &work, Some("mine")).await.0);
    assert!(rights(store, &work, None).await.0, "the user is as they were");
    // Nobody without a row has a grant.
    assert_eq!(rights(store, &owner("zoe", "personal"), None).await, (true, false, Role::Personal));
}

#[tokio::test]
async fn the_file_writes_until_a_person_did() {
    let bench = bench().await;
    let store = &bench.db.store;
    add(store, "anna", true).await;
    let work = owner("anna", "work");
    assert_eq!(put(store, &work, "from the file", ProfileOrigin::File).await, Written::New);
    let before = store.scoped(&work, async |tx| profiles::load(tx).await).await.unwrap();
    assert_eq!(put(store, &work, "from the file", ProfileOrigin::File).await, Written::Changed);
    let after = store.scoped(&work, async |tx| profiles::load(tx).await).await.unwrap();
    assert_eq!(before, after, "the same again changes nothing");
    assert_eq!(put(store, &work, "by a person", ProfileOrigin::Person).await, Written::Changed);
    assert_eq!(put(store, &work, "the file again", ProfileOrigin::File).await, Written::Kept);
    assert_eq!(context(store, &work).await.as_deref(), Some("by a person"));
    // What was made beside the user is the file's to fill.
    let personal = owner("anna", "personal");
    assert_eq!(put(store, &personal, "from the file", ProfileOrigin::File).await, Written::Changed);
}

#[tokio::test]
async fn a_profile_shows_its_content_to_itself_and_its_name_to_its_user_alone() {
    let bench = bench().await;
    let store = &bench.db.store;
    add(store, "anna", true).await;
    add(store, "ben", true).await;
    for owner in owners() {
        put(store, &owner, &format!("{} of {}", owner.profile, owner.user), ProfileOrigin::Person).await;
    }
    for owner in owners() {
        assert_eq!(context(store, &owner).await, Some(format!("{} of {}", owner.profile, owner.user)));
    }
    assert_eq!(names(store, &owner("anna", "personal")).await, ["personal", "work"]);
    assert_eq!(names(store, &owner("ben", "personal")).await, ["personal"]);
    assert_eq!(names(store, &owner("zoe", "personal")).await, [""; 0]);
    assert_eq!(context(store, &owner("ben", "work")).await, None);
}

#[tokio::test]
async fn deleting_a_profile_takes_all_that_it_holds_and_nothing_else() {
    let bench = bench().await;
    let store = &bench.db.store;
    let mut admin = bench.db.admin().acquire().await.unwrap();
    let tables = user_tables(&mut admin).await;
    fill(&mut admin, &tables).await;
    let work = owner("anna", "work");
    let delete = async |owner: &Owner| store.scoped(owner, async |tx| profiles::delete(tx).await).await;
    admin.execute("update runs set state = 'running'").await.unwrap();
    assert_eq!(delete(&work).await.unwrap(), Deletion::Busy);
    admin.execute("update runs set state = 'waiting'").await.unwrap();
    assert_eq!(delete(&owner("anna", "personal")).await.unwrap(), Deletion::Personal);
    assert!(matches!(delete(&owner("ben", "work")).await, Err(StoreError::NotFound)));
    assert_eq!(delete(&work).await.unwrap(), Deletion::Deleted);
    for table in &tables {
        let count = format!("select user_id || '/' || profile from {} order by 1", table.name);
        let left: Vec<String> = sqlx::query_scalar(AssertSqlSafe(count)).fetch_all(&mut *admin).await.unwrap();
        assert_eq!(left, ["anna/personal", "ben/personal"], "{}", table.name);
    }
}

//! Credentials in the real table: whose they are, what moving a ciphertext in SQL comes to, and keys that change.

use std::sync::Arc;

use adjutant_core::clock::FakeClock;
use adjutant_core::credential::{Secret, Service};
use adjutant_core::limits;
use adjutant_core::scope::Owner;
use adjutant_store::credentials::{self, NewCredential, Reach, Reencrypted, Unusable};
use adjutant_store::error::StoreError;
use adjutant_store::listen::{Notice, Replica};
use adjutant_store::store::Store;
use adjutant_store::vault::key_ring::KeyRing;
use adjutant_store::vault::{Vault, VaultError};
use adjutant_testkit::db::{TestDb, owner};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::ExposeSecret;
use serde_json::json;
use sqlx::{AssertSqlSafe, Executor};

use crate::support::{alone, bench};

const OLD: &str = "old:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const NEW: &str = "new:f0f1f2f3f4f5f6f7f8f9fafbfcfdfeffe0e1e2e3e4e5e6e7e8e9eaebecedeeef";
const ORIGIN: &str = "https://mcp.example.org";

fn vault(keys: &str) -> Vault {
    Vault::new(&KeyRing::parse(keys).unwrap())
}

fn service(name: &str) -> Service {
    Service::parse(name).unwrap()
}

fn token(name: &str, token: &str) -> NewCredential {
    let fields = json!({"token": token});
    let secret = Secret::read(&service(name), fields.as_object().unwrap()).unwrap();
    NewCredential { service: service(name), secret, scopes: Vec::new(), expires_at: None, origin: ORIGIN.to_owned() }
}

async fn put(
    store: &Store,
    vault: &Vault,
    whose: &Owner,
    reach: Reach,
    new: &NewCredential,
) -> Result<bool, StoreError> {
    store.scoped(whose, async |tx| credentials::put(tx, vault, reach, new).await).await
}

/// The token that counts for this owner.
async fn read(store: &Store, vault: &Vault, whose: &Owner, name: &str) -> Result<Option<String>, StoreError> {
    let found = store.scoped(whose, async |tx| credentials::get(tx, vault, &service(name)).await).await?;
    Ok(found.map(|credential| match credential.secret {
        Secret::Token(token) => token.expose_secret().to_owned(),
        other => panic!("{other:?}"),
    }))
}

fn why(error: Result<Option<String>, StoreError>) -> Unusable {
    match error {
        Err(StoreError::Credential { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

const REFUSED: Unusable = Unusable::Unreadable(VaultError::Refused);

async fn all_can_only_read_their_own(store: &Store, vault: &Vault) {
    let (anna, work, ben) = (owner("anna", "personal"), owner("anna", "work"), owner("ben", "personal"));
    for (whose, reach, secret) in [
        (&anna, Reach::Profile, "anna's own"),
        (&anna, Reach::AllProfiles, "for all of anna"),
        (&ben, Reach::Profile, "ben's own"),
    ] {
        assert!(put(store, vault, whose, reach, &token("garmin", secret)).await.unwrap());
    }
    for (whose, expected) in [(&anna, Some("anna's own")), (&work, Some("for all of anna")), (&ben, Some("ben's own"))]
    {
        assert_eq!(read(store, vault, whose, "garmin").await.unwrap().as_deref(), expected, "{whose:?}");
        assert_eq!(read(store, vault, whose, "google").await.unwrap(), None);
    }
    let list = async |whose: &Owner| store.scoped(whose, async |tx| credentials::list(tx, vault).await).await.unwrap();
    assert_eq!(
        list(&anna).await.iter().map(|entry| entry.reach).collect::<Vec<_>>(),
        [Reach::Profile, Reach::AllProfiles]
    );
    assert_eq!(list(&work).await.len(), 1);
    assert_eq!(list(&owner("zoe", "personal")).await.len(), 0);

    let forget = async |whose: &Owner, reach| {
        store.scoped(whose, async |tx| credentials::delete(tx, reach, &service("garmin")).await).await
    };
    assert!(matches!(forget(&work, Reach::Profile).await, Err(StoreError::NotFound)));
    assert!(matches!(forget(&ben, Reach::AllProfiles).await, Err(StoreError::NotFound)));
    forget(&anna, Reach::Profile).await.unwrap();
    assert_eq!(read(store, vault, &anna, "garmin").await.unwrap().as_deref(), Some("for all of anna"));
    assert!(!put(store, vault, &work, Reach::AllProfiles, &token("garmin", "replaced")).await.unwrap());
    assert_eq!(read(store, vault, &anna, "garmin").await.unwrap().as_deref(), Some("replaced"));
    forget(&work, Reach::AllProfiles).await.unwrap();
    assert_eq!(read(store, vault, &anna, "garmin").await.unwrap(), None);
    assert_eq!(read(store, vault, &ben, "garmin").await.unwrap().as_deref(), Some("ben's own"));
}

#[tokio::test]
async fn a_profile_has_its_own_credentials_and_those_for_all_of_its_user() {
    let bench = bench().await;
    all_can_only_read_their_own(&bench.db.store, &vault(OLD)).await;
}

/// The predicates of the queries alone.
#[tokio::test]
async fn the_same_holds_without_row_security() {
    let _alone = alone().await;
    let db = TestDb::new().await;
    let admin = db.admin();
    admin.execute("alter role adjutant_app bypassrls").await.unwrap();
    let shown = tokio::spawn(async move { all_can_only_read_their_own(&db.store, &vault(OLD)).await }).await;
    admin.execute("alter role adjutant_app nobypassrls").await.unwrap();
    shown.unwrap();
}

/// With a database administrator's hands: every swap of two rows and every changed part of one is noticed.
#[tokio::test]
async fn what_was_moved_or_changed_in_the_database_does_not_open() {
    let bench = bench().await;
    let (store, vault) = (&bench.db.store, vault(&format!("{NEW},{OLD}")));
    let (anna, work, ben) = (owner("anna", "personal"), owner("anna", "work"), owner("ben", "personal"));
    for whose in [&anna, &work, &ben] {
        for name in ["garmin", "google"] {
            put(store, &vault, whose, Reach::Profile, &token(name, "secret")).await.unwrap();
        }
    }
    put(store, &vault, &anna, Reach::AllProfiles, &token("other", "secret")).await.unwrap();
    let admin = bench.db.admin();
    let row = |user: &str, profile: &str, name: &str| {
        format!("user_id = '{user}' and profile = '{profile}' and service = '{name}'")
    };
    let mine = row("anna", "personal", "garmin");
    let mut changes: Vec<String> = [
        ("anna", "personal", "google"),
        ("anna", "work", "garmin"),
        ("ben", "personal", "garmin"),
        ("anna", "*", "other"),
    ]
    .map(|(user, profile, name)| {
        format!("token_data = (select token_data from user_credentials where {})", row(user, profile, name))
    })
    .to_vec();
    changes.extend(
        [
            "encryption_key_id = 'old'",
            "origin = 'https://evil.example.org'",
            "token_data = set_byte(token_data, 0, 2)",
            "token_data = set_bit(token_data, 8, 1 - get_bit(token_data, 8))",
            "token_data = set_bit(token_data, 130, 1 - get_bit(token_data, 130))",
            "token_data = substr(token_data, 1, length(token_data) - 1)",
            r"token_data = token_data || '\x00'",
            "token_data = substr(token_data, 1, 29)",
        ]
        .map(str::to_owned),
    );
    let original: Vec<u8> =
        sqlx::query_scalar(AssertSqlSafe(format!("select token_data from user_credentials where {mine}")))
            .fetch_one(&admin)
            .await
            .unwrap();
    for change in changes {
        admin.execute(AssertSqlSafe(format!("update user_credentials set {change} where {mine}"))).await.unwrap();
        assert_eq!(why(read(store, &vault, &anna, "garmin").await), REFUSED, "{change}");
        let listed = store.scoped(&anna, async |tx| credentials::list(tx, &vault).await).await.unwrap();
        let entry = listed.iter().find(|entry| entry.service.as_str() == "garmin").unwrap();
        assert_eq!((entry.unusable.clone(), &entry.last_four), (Some(REFUSED), &None), "{change}");
        sqlx::query("update user_credentials set token_data = $1, encryption_key_id = 'new', origin = 'https://mcp.example.org' where user_id = 'anna' and profile = 'personal' and service = 'garmin'")
            .bind(&original)
            .execute(&admin)
            .await
            .unwrap();
        assert_eq!(read(store, &vault, &anna, "garmin").await.unwrap().as_deref(), Some("secret"));
    }
    // A row that is moved whole.
    for moved in ["service = 'gone'", "profile = '*'", "user_id = 'zoe'"] {
        let mut tx = admin.begin().await.unwrap();
        tx.execute(AssertSqlSafe(format!("update user_credentials set {moved} where {mine}"))).await.unwrap();
        tx.commit().await.unwrap();
        let (whose, name) = match moved {
            "service = 'gone'" => (&anna, "gone"),
            "profile = '*'" => (&anna, "garmin"),
            _ => (&owner("zoe", "personal"), "garmin"),
        };
        assert_eq!(why(read(store, &vault, whose, name).await), REFUSED, "{moved}");
        let back = "update user_credentials set user_id = 'anna', profile = 'personal', service = 'garmin'
                     where service = 'gone' or user_id = 'zoe' or (profile = '*' and service = 'garmin')";
        admin.execute(back).await.unwrap();
    }
    assert_eq!(read(store, &vault, &anna, "garmin").await.unwrap().as_deref(), Some("secret"));
}

#[tokio::test]
async fn a_row_under_an_old_key_is_encrypted_anew_when_it_is_read() {
    let bench = bench().await;
    let (store, anna) = (&bench.db.store, owner("anna", "personal"));
    put(store, &vault(OLD), &anna, Reach::Profile, &token("garmin", "secret")).await.unwrap();
    let before = store.scoped(&anna, async |tx| credentials::list(tx, &vault(OLD)).await).await.unwrap();
    let both = vault(&format!("{NEW},{OLD}"));
    assert_eq!(read(store, &both, &anna, "garmin").await.unwrap().as_deref(), Some("secret"));
    let after = store.scoped(&anna, async |tx| credentials::list(tx, &vault(NEW)).await).await.unwrap();
    assert_eq!((before[0].key_id.as_str(), after[0].key_id.as_str()), ("old", "new"));
    assert_eq!(before[0].updated_at, after[0].updated_at, "its user changed nothing");
    assert_eq!(read(store, &vault(NEW), &anna, "garmin").await.unwrap().as_deref(), Some("secret"));
}

#[tokio::test]
async fn without_its_key_a_row_says_so_at_each_use_and_can_be_stored_again() {
    let bench = bench().await;
    let (store, anna) = (&bench.db.store, owner("anna", "personal"));
    put(store, &vault(OLD), &anna, Reach::Profile, &token("garmin", "secret")).await.unwrap();
    let error = store.scoped(&anna, async |tx| credentials::for_server(tx, &vault(NEW), "garmin", ORIGIN).await).await;
    let told = error.unwrap_err().to_string();
    assert!(
        told.contains("garmin") && told.contains("\"old\"") && told.contains("CREDENTIALS_ENCRYPTION_KEY"),
        "{told}"
    );
    assert!(matches!(why(read(store, &Vault::without_key(), &anna, "garmin").await), Unusable::Unreadable(_)));
    let refused = put(store, &Vault::without_key(), &anna, Reach::Profile, &token("garmin", "again")).await;
    assert!(refused.unwrap_err().to_string().contains("openssl rand -base64 32"));
    put(store, &vault(NEW), &anna, Reach::Profile, &token("garmin", "again")).await.unwrap();
    assert_eq!(read(store, &vault(NEW), &anna, "garmin").await.unwrap().as_deref(), Some("again"));
}

#[tokio::test]
async fn all_rows_of_all_users_are_encrypted_anew_and_the_old_key_can_go() {
    let bench = bench().await;
    let (store, old, both) = (&bench.db.store, vault(OLD), vault(&format!("{NEW},{OLD}")));
    for user in ["anna", "ben", "cleo"] {
        for profile in ["personal", "work"] {
            put(store, &old, &owner(user, profile), Reach::Profile, &token("garmin", "secret")).await.unwrap();
        }
        put(store, &old, &owner(user, "work"), Reach::AllProfiles, &token("google", "secret")).await.unwrap();
    }
    put(store, &both, &owner("dan", "work"), Reach::Profile, &token("garmin", "new already")).await.unwrap();
    let owners =
        async || store.system("test", async |tx| credentials::owners_under_other_keys(tx, "new").await).await.unwrap();
    let found = owners().await;
    assert!(found.len() == 6 && found.iter().all(|owner| owner.user.as_str() != "dan"), "{found:?}");
    let mut done = 0;
    for whose in &found {
        done += store.scoped(whose, async |tx| credentials::reencrypt(tx, &both).await).await.unwrap().done;
    }
    assert_eq!((done, owners().await), (9, Vec::new()));
    let keys = store.system("test", async |tx| credentials::key_ids(tx).await).await.unwrap();
    assert_eq!(keys, ["new"]);
    for whose in &found {
        for name in ["garmin", "google"] {
            assert_eq!(read(store, &vault(NEW), whose, name).await.unwrap().as_deref(), Some("secret"));
        }
    }
    let unreadable =
        store.scoped(&owner("dan", "work"), async |tx| credentials::reencrypt(tx, &old).await).await.unwrap();
    assert_eq!(unreadable, Reencrypted { done: 0, unreadable: vec![service("garmin")] });
}

#[tokio::test]
async fn each_profile_has_its_own_model_keys_and_a_broken_one_is_an_error() {
    let bench = bench().await;
    let (store, vault) = (&bench.db.store, vault(OLD));
    let (anna, work, ben) = (owner("anna", "personal"), owner("anna", "work"), owner("ben", "personal"));
    let key = |provider: &str, key: &str| {
        let service = service(&format!("llm_{provider}"));
        let fields = json!({"api_key": key, "preferred_model": "m"});
        let secret = Secret::read(&service, fields.as_object().unwrap()).unwrap();
        NewCredential {
            service,
            secret,
            scopes: Vec::new(),
            expires_at: None,
            origin: "https://api.example".to_owned(),
        }
    };
    let keys = async |whose: &Owner| {
        let found = store.scoped(whose, async |tx| credentials::model_keys(tx, &vault).await).await?;
        let shown = found.iter().map(|key| format!("{} {}", key.provider, key.api_key.expose_secret()));
        Ok::<_, StoreError>(shown.collect::<Vec<_>>())
    };
    put(store, &vault, &anna, Reach::AllProfiles, &key("openai", "all-of-anna")).await.unwrap();
    put(store, &vault, &work, Reach::Profile, &key("openai", "at-work")).await.unwrap();
    put(store, &vault, &work, Reach::Profile, &key("anthropic", "at-work-too")).await.unwrap();
    put(store, &vault, &work, Reach::Profile, &token("garmin", "tok")).await.unwrap();
    assert_eq!(keys(&anna).await.unwrap(), ["openai all-of-anna"]);
    assert_eq!(keys(&work).await.unwrap(), ["anthropic at-work-too", "openai at-work"]);
    assert_eq!(keys(&ben).await.unwrap(), Vec::<String>::new());
    let spoil = "update user_credentials set token_data = token_data || '\\x00' where service = 'llm_openai' and profile = 'work'";
    bench.db.admin().execute(spoil).await.unwrap();
    assert!(matches!(keys(&work).await, Err(StoreError::Credential { why: Unusable::Unreadable(_), .. })));
    assert_eq!(keys(&anna).await.unwrap(), ["openai all-of-anna"]);
}

/// Ended anywhere, every row is whole under its old or its new key.
#[tokio::test]
async fn encrypting_anew_may_be_ended_anywhere() {
    let bench = bench().await;
    let (store, anna) = (&bench.db.store, owner("anna", "personal"));
    let names: Vec<String> = (0..40).map(|number| format!("service-{number}")).collect();
    for name in &names {
        put(store, &vault(OLD), &anna, Reach::Profile, &token(name, "secret")).await.unwrap();
    }
    let both = vault(&format!("{NEW},{OLD}"));
    let mut ended = 0;
    for round in 0..60 {
        let (store, both, anna) = (store.clone(), both.clone(), anna.clone());
        let sweep = async move { store.scoped(&anna, async |tx| credentials::reencrypt(tx, &both).await).await };
        let wait = std::time::Duration::from_micros(round * 400);
        ended += usize::from(tokio::time::timeout(wait, sweep).await.is_err());
    }
    assert!(ended > 0, "some were ended");
    let entries = store.scoped(&anna, async |tx| credentials::list(tx, &both).await).await.unwrap();
    assert!(entries.len() == names.len() && entries.iter().all(|entry| entry.unusable.is_none()), "{entries:?}");
    store.scoped(&anna, async |tx| credentials::reencrypt(tx, &both).await).await.unwrap();
    for name in &names {
        assert_eq!(read(store, &vault(NEW), &anna, name).await.unwrap().as_deref(), Some("secret"));
    }
}

#[tokio::test]
async fn a_server_gets_its_headers_at_the_origin_that_they_were_stored_for_and_nowhere_else() {
    let bench = bench().await;
    let (store, vault, anna) = (&bench.db.store, vault(OLD), owner("anna", "personal"));
    let headers = async |server: &str, origin: &str| {
        let found = store.scoped(&anna, async |tx| credentials::for_server(tx, &vault, server, origin).await).await?;
        let shown = found.into_iter().map(|(name, value)| format!("{name}: {}", value.expose_secret()));
        Ok::<_, StoreError>(shown.collect::<Vec<_>>())
    };
    for name in ["garmin", "google", "notes"] {
        put(store, &vault, &anna, Reach::Profile, &token(name, "tok")).await.unwrap();
    }
    assert_eq!(headers("garmin", ORIGIN).await.unwrap(), ["X-Garmin-Token: tok"]);
    assert_eq!(headers("google", ORIGIN).await.unwrap(), ["Authorization: Bearer tok"]);
    assert_eq!(headers("notes", ORIGIN).await.unwrap(), ["Authorization: Bearer tok"]);
    for nothing in ["splitwise", "No Name", ""] {
        assert_eq!(headers(nothing, ORIGIN).await.unwrap(), Vec::<String>::new());
    }
    for elsewhere in ["https://evil.example.org", "http://mcp.example.org", "https://mcp.example.org:8443", ""] {
        let error = headers("garmin", elsewhere).await.unwrap_err();
        assert!(matches!(error, StoreError::Credential { why: Unusable::Elsewhere, .. }), "{elsewhere}");
        assert!(!error.to_string().contains("tok"));
    }
}

#[tokio::test]
async fn an_expired_credential_is_refused_and_nothing_takes_its_place() {
    let start: DateTime<Utc> = "2026-03-01T12:00:00Z".parse().unwrap();
    let clock = Arc::new(FakeClock::at(start));
    let store = TestDb::with_clock(clock.clone()).await.store;
    let (vault, anna) = (vault(OLD), owner("anna", "personal"));
    let hour = NewCredential { expires_at: Some(start + TimeDelta::hours(1)), ..token("garmin", "short") };
    put(&store, &vault, &anna, Reach::Profile, &hour).await.unwrap();
    put(&store, &vault, &anna, Reach::AllProfiles, &token("garmin", "long")).await.unwrap();
    assert_eq!(read(&store, &vault, &anna, "garmin").await.unwrap().as_deref(), Some("short"));
    clock.advance(TimeDelta::hours(2));
    assert_eq!(why(read(&store, &vault, &anna, "garmin").await), Unusable::Expired);
}

#[tokio::test]
async fn the_number_of_credentials_is_bounded_and_replacing_one_always_works() {
    let bench = bench().await;
    let (store, vault, anna) = (&bench.db.store, vault(OLD), owner("anna", "personal"));
    let fill = "insert into user_credentials (user_id, profile, service, token_data, encryption_key_id, origin)
                select 'anna', 'personal', 's' || n, decode(repeat('00', 40), 'hex'), 'x', 'https://h'
                  from generate_series(1, $1) n";
    sqlx::query(fill).bind(limits::CREDENTIALS - 1).execute(&bench.db.admin()).await.unwrap();
    put(store, &vault, &anna, Reach::Profile, &token("garmin", "last")).await.unwrap();
    put(store, &vault, &anna, Reach::Profile, &token("garmin", "again")).await.unwrap();
    let refused = put(store, &vault, &anna, Reach::Profile, &token("google", "more")).await;
    assert!(matches!(refused, Err(StoreError::Invalid(what)) if what == "credentials"));
    put(store, &vault, &owner("ben", "personal"), Reach::Profile, &token("google", "more")).await.unwrap();
}

#[tokio::test]
async fn every_replica_hears_whose_credentials_changed() {
    let bench = bench().await;
    let (store, vault, anna) = (&bench.db.store, vault(OLD), owner("anna", "work"));
    let mut replica = Replica::join(store).await.unwrap();
    put(store, &vault, &anna, Reach::Profile, &token("garmin", "secret")).await.unwrap();
    let heard = async |replica: &mut Replica| {
        loop {
            let notice = tokio::time::timeout(std::time::Duration::from_secs(10), replica.next()).await.unwrap();
            if let Notice::Credentials(user) = notice {
                return user;
            }
        }
    };
    assert_eq!(heard(&mut replica).await, anna.user);
    store.scoped(&anna, async |tx| credentials::delete(tx, Reach::Profile, &service("garmin")).await).await.unwrap();
    assert_eq!(heard(&mut replica).await, anna.user);
}

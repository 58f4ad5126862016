//! Published vectors through the vault's own cipher, and what must not open: swapped, flipped and cut ciphertexts. A
//! twin without associated data shows that the swaps would be noticed missing.

use std::collections::HashSet;

use super::*;

const KEYS: &str = "new:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f,\
                    old:f0f1f2f3f4f5f6f7f8f9fafbfcfdfeffe0e1e2e3e4e5e6e7e8e9eaebecedeeef";

fn vault(keys: &str) -> Vault {
    Vault::new(&KeyRing::parse(keys).unwrap())
}

fn place<'a>(user: &'a str, profile: &'a str, row: &'a [&'a str; 1]) -> Sealing<'a> {
    Sealing {
        table: "user_credentials",
        column: "token_data",
        user,
        profile,
        row,
        service: row[0],
        origin: "https://h",
    }
}

#[test]
fn published_vectors_pass() {
    let bytes = |text: &str| if text == "-" { Vec::new() } else { hex::decode(text).unwrap() };
    let (mut passed, mut with_data) = (0, 0);
    for line in include_str!("gcm_vectors.txt").lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<Vec<u8>> = line.split(' ').map(bytes).collect();
        let [key, nonce, plain, data, ciphertext, tag] = &fields[..] else { panic!("{line}") };
        let key: [u8; 32] = key.as_slice().try_into().unwrap();
        let nonce: [u8; NONCE] = nonce.as_slice().try_into().unwrap();
        let cipher = Aes256Gcm::new((&key).into());
        let expected = [ciphertext.as_slice(), tag].concat();
        assert_eq!(encrypt(&cipher, &nonce, data, plain).unwrap(), expected, "{line}");
        assert_eq!(&decrypt(&cipher, &nonce, data, &expected).unwrap()[..], plain, "{line}");
        let mut wrong = expected.clone();
        *wrong.last_mut().unwrap() ^= 1;
        assert_eq!(decrypt(&cipher, &nonce, data, &wrong), Err(VaultError::Refused), "{line}");
        passed += 1;
        with_data += usize::from(!data.is_empty() && !plain.is_empty());
    }
    assert!(passed >= 379 && with_data >= 240, "{passed} vectors, {with_data} with data");
}

#[test]
fn what_is_sealed_opens_in_its_own_place_under_any_key_of_the_ring() {
    let place = place("anna", "personal", &["garmin"]);
    let old = vault(KEYS.split_once(',').unwrap().1).seal(&place, b"a secret").unwrap();
    assert_eq!(old.key_id, "old");
    let both = vault(KEYS);
    assert_eq!(&both.open(&place, &old).unwrap()[..], b"a secret");
    let new = both.seal(&place, b"").unwrap();
    assert_eq!((new.key_id.as_str(), &both.open(&place, &new).unwrap()[..]), ("new", &b""[..]));
    let unknown = VaultError::UnknownKey { key_id: "old".to_owned() };
    assert_eq!(vault(KEYS.split_once(',').unwrap().0).open(&place, &old), Err(unknown.clone()));
    assert_eq!(Vault::without_key().open(&place, &old), Err(unknown));
    assert_eq!(Vault::without_key().seal(&place, b"x"), Err(VaultError::NoKey));
}

#[test]
fn nothing_of_keys_or_secrets_is_shown() {
    let sealed = vault(KEYS).seal(&place("anna", "personal", &["garmin"]), b"hunter2").unwrap();
    assert_eq!(format!("{:?}", vault(KEYS)), r#"["new", "old"]"#);
    assert!(!sealed.bytes.windows(7).any(|window| window == b"hunter2"));
}

#[test]
fn every_write_has_its_own_nonce() {
    let (vault, place) = (vault(KEYS), place("anna", "personal", &["garmin"]));
    let mut nonces = HashSet::new();
    for _ in 0..20_000 {
        assert!(nonces.insert(vault.seal(&place, b"").unwrap().bytes[1..=NONCE].to_vec()));
    }
}

/// Places that differ in one part from each other, written so that plain concatenation would confuse some of them.
fn places() -> Vec<Sealing<'static>> {
    let mut places = Vec::new();
    for (table, column) in
        [("user_credentials", "token_data"), ("user_credentials", "scopes"), ("user_credential", "stoken_data")]
    {
        for user in ["anna", "ann", "ben"] {
            for profile in ["personal", "work", "*", "apersonal"] {
                for row in [&["garmin"][..], &["google"], &["gar", "min"], &["garmin", ""], &[]] {
                    for (service, origin) in
                        [("garmin", "https://h"), ("google", "https://h"), ("garmin", "https://evil")]
                    {
                        places.push(Sealing { table, column, user, profile, row, service, origin });
                    }
                }
            }
        }
    }
    places
}

/// The same tests for the vault and for its twin with a planted fault.
struct Attack {
    swaps: usize,
    swaps_opened: usize,
    changes: usize,
    changes_opened: usize,
}

type Seal<'a> = &'a dyn Fn(&Sealing<'_>, &[u8]) -> Sealed;
type Open<'a> = &'a dyn Fn(&Sealing<'_>, &Sealed) -> Result<Zeroizing<Vec<u8>>, VaultError>;

fn attack(seal: Seal<'_>, open: Open<'_>) -> Attack {
    let places = places();
    let mut found = Attack { swaps: 0, swaps_opened: 0, changes: 0, changes_opened: 0 };
    for (index, place) in places.iter().enumerate() {
        let sealed = seal(place, b"a secret of some length");
        assert!(open(place, &sealed).is_ok());
        // To other rows, users, profiles, services, origins, columns, tables: a part of all pairs.
        for other in places.iter().skip((index + 1) % 9).step_by(9).filter(|other| *other != place) {
            found.swaps += 1;
            found.swaps_opened += usize::from(open(other, &sealed).is_ok());
        }
        // To the other key.
        found.swaps += 1;
        let other = Sealed { key_id: "old".to_owned(), ..sealed.clone() };
        found.swaps_opened += usize::from(open(place, &other).is_ok());
    }
    let (place, sealed) = (&places[0], seal(&places[0], b"another secret"));
    let mut tried = |bytes: Vec<u8>| {
        found.changes += 1;
        let changed = Sealed { bytes, ..sealed.clone() };
        found.changes_opened += usize::from(open(place, &changed).is_ok());
    };
    // Every bit of format, nonce, ciphertext and tag.
    for bit in 0..sealed.bytes.len() * 8 {
        let mut bytes = sealed.bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        tried(bytes);
    }
    for length in 0..sealed.bytes.len() {
        tried(sealed.bytes[..length].to_vec());
        tried(sealed.bytes[length + 1..].to_vec());
    }
    tried([sealed.bytes.as_slice(), b"\0"].concat());
    found
}

#[test]
fn proof_swapped_and_flipped_ciphertexts_are_refused() {
    let vault = vault(KEYS);
    let found = attack(&|place, plain| vault.seal(place, plain).unwrap(), &|place, sealed| vault.open(place, sealed));
    assert!(found.swaps + found.changes >= 10_000 && found.changes > 300, "{} and {}", found.swaps, found.changes);
    assert_eq!((found.swaps_opened, found.changes_opened), (0, 0));
}

/// The planted fault: AES-GCM as people use it who forget the associated data. Every swap between places opens, so the
/// proof above would not have passed.
#[test]
fn without_associated_data_the_swaps_would_open() {
    let vault = vault(KEYS);
    let cipher = |id: &str| &vault.0.iter().find(|key| key.id == id).unwrap().cipher;
    let seal = |_: &Sealing<'_>, plain: &[u8]| {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).unwrap();
        let body = encrypt(cipher("new"), &nonce, &[], plain).unwrap();
        Sealed { key_id: "new".to_owned(), bytes: [&[FORMAT], &nonce[..], &body].concat() }
    };
    let open = |_: &Sealing<'_>, sealed: &Sealed| {
        let (nonce, body) = sealed.bytes.get(1..).unwrap_or_default().split_first_chunk().ok_or(VaultError::Refused)?;
        decrypt(cipher(&sealed.key_id), nonce, &[], body)
    };
    let found = attack(&seal, &open);
    assert!(found.swaps_opened > 10_000, "{} of {}", found.swaps_opened, found.swaps);
}

#[test]
fn no_two_places_are_written_alike() {
    let mut seen = HashSet::new();
    for place in places() {
        for key_id in ["new", "old", "gnew"] {
            assert!(seen.insert(associated(&place, key_id)), "{place:?} {key_id}");
        }
    }
}

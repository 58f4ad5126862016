//! The keys of the vault: those of the settings, and `master.key` in the data directory, which the first start with the
//! embedded database makes. It is never overwritten, and never inside what a backup of the database takes.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use adjutant_store::credentials;
use adjutant_store::store::Store;
use adjutant_store::vault::Vault;
use adjutant_store::vault::key_ring::KeyRing;
use anyhow::{Context, Result, bail};

use crate::config::data::Data;
use crate::config::database::Database;
use crate::config::vault::Vault as Settings;

pub const FILE: &str = "master.key";
const HEAD: &str = "# The key that encrypts the credentials in Adjutant's database. Without it they cannot be read.\n\
                    # Keep a copy, apart from backups of the database. A line above the others becomes the current key.\n";
/// Room for every key that is allowed, and notes.
const LONGEST: u64 = 64 * 1024;
/// Its owner may read and change it, nobody else anything.
pub const PRIVATE: u32 = 0o600;

pub struct Opened {
    pub vault: Vault,
    /// The key file, when it was made now.
    pub made: Option<PathBuf>,
}

/// For a server or a command that stores: makes the key file where it belongs and there is none.
pub fn open(data: &Data, database: &Database, settings: &Settings) -> Result<Opened> {
    let found = look(data, database, settings)?;
    if let Some(ring) = found {
        return Ok(Opened { vault: Vault::new(&ring), made: None });
    }
    if matches!(database, Database::External { .. }) {
        return Ok(Opened { vault: Vault::without_key(), made: None });
    }
    let path = data.dir.join(FILE);
    let made = make(&path)?;
    let ring = read(&path)?.with_context(|| format!("{} is gone again", path.display()))?;
    Ok(Opened { vault: Vault::new(&ring), made: made.then_some(path) })
}

/// The keys that are there, without making any.
pub fn look(data: &Data, database: &Database, settings: &Settings) -> Result<Option<KeyRing>> {
    let file = match database {
        Database::Embedded { .. } => read(&data.dir.join(FILE))?,
        Database::External { .. } => None,
    };
    Ok(match (settings.keys.clone(), file) {
        (Some(keys), Some(file)) => Some(keys.followed_by(file)),
        (keys, file) => keys.or(file),
    })
}

/// Who may do what with the key file; none if it is not there, or is not where keys come from.
pub fn file_mode(data: &Data, database: &Database) -> Option<(PathBuf, u32)> {
    let Database::Embedded { .. } = database else { return None };
    let path = data.dir.join(FILE);
    let mode = fs::metadata(&path).ok()?.mode() & 0o7777;
    Some((path, mode))
}

/// Keys that stored credentials need and the vault lacks.
pub async fn missing_keys(store: &Store, vault: &Vault) -> Result<Vec<String>> {
    let mut used = store.system("which keys encrypt credentials", async |tx| credentials::key_ids(tx).await).await?;
    used.retain(|id| !vault.knows(id));
    Ok(used)
}

fn read(path: &Path) -> Result<Option<KeyRing>> {
    let shown = path.display();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => bail!("{shown} cannot be read: {error}; it must belong to the user that the server runs as"),
    };
    let about = file.metadata().with_context(|| format!("{shown} cannot be looked at"))?;
    if !about.is_file() {
        bail!("{shown} is no file: move it away, and put the key file back from your copy");
    }
    let mode = about.mode() & 0o7777;
    if mode & 0o077 != 0 {
        bail!("{shown} can be read or changed by others (mode {mode:04o}): run chmod 600 {shown}");
    }
    let mut text = zeroize::Zeroizing::new(String::new());
    let read = file.take(LONGEST + 1).read_to_string(&mut text).ok().filter(|length| *length as u64 <= LONGEST);
    let damaged = |why: String| {
        anyhow::anyhow!(
            "{shown} is damaged ({why}): put it back from your copy, or move it away to begin with a new key, \
             which cannot read the credentials stored so far"
        )
    };
    if read.is_none() {
        return Err(damaged("it is no text of this form".to_owned()));
    }
    KeyRing::parse(&text).map(Some).map_err(|error| damaged(error.to_string()))
}

/// Makes the file whole or not at all: another server that starts at the same moment finds one key, the same as we do.
fn make(path: &Path) -> Result<bool> {
    let folder = path.parent().context("the data directory has no path")?;
    let doing = || format!("the key file {} cannot be made", path.display());
    fs::create_dir_all(folder).with_context(doing)?;
    let ring = KeyRing::generate().context("the system gives no random numbers")?;
    let mut mark = [0; 8];
    getrandom::fill(&mut mark).context("the system gives no random numbers")?;
    let draft = folder.join(format!(".{FILE}.{}", hex::encode(mark)));
    let written = write(&draft, &ring);
    // Unlike a rename, a link never takes the place of a file that is there.
    let linked = written.and_then(|()| fs::hard_link(&draft, path));
    let _ = fs::remove_file(&draft);
    match linked {
        Ok(()) => {
            File::open(folder).and_then(|folder| folder.sync_all()).with_context(doing)?;
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error).with_context(doing),
    }
}

fn write(path: &Path, ring: &KeyRing) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path)?;
    file.write_all(HEAD.as_bytes())?;
    file.write_all(ring.to_text().as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Folder(Data);

    impl Folder {
        fn new(name: &str) -> Self {
            let dir = std::env::temp_dir().join(format!("adjutant-vault-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&dir);
            Self(Data { cache_dir: dir.join("cache"), dir })
        }

        fn open(&self) -> Result<Opened> {
            open(&self.0, &Database::Embedded { install: None }, &Settings { keys: None })
        }

        fn path(&self) -> PathBuf {
            self.0.dir.join(FILE)
        }

        fn refusal(&self) -> String {
            self.open().map(|_| ()).expect_err("a refusal").to_string()
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0.dir);
        }
    }

    #[test]
    fn the_first_start_makes_a_private_key_file_and_the_next_one_reads_it() {
        let folder = Folder::new("first");
        let first = folder.open().unwrap();
        assert_eq!(first.made, Some(folder.path()));
        assert_eq!(fs::metadata(folder.path()).unwrap().mode() & 0o7777, PRIVATE);
        let second = folder.open().unwrap();
        assert_eq!(second.made, None);
        assert!(first.vault.current_key().is_some() && first.vault.current_key() == second.vault.current_key());
        let left: Vec<_> = fs::read_dir(&folder.0.dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, [FILE], "no draft is left");
    }

    #[test]
    fn servers_that_start_at_once_have_one_key() {
        for round in 0..50 {
            let folder = Folder::new(&format!("race-{round}"));
            let opened: Vec<Opened> = std::thread::scope(|scope| {
                let starts: Vec<_> = (0..8).map(|_| scope.spawn(|| folder.open().unwrap())).collect();
                starts.into_iter().map(|start| start.join().unwrap()).collect()
            });
            let first = opened[0].vault.current_key().map(str::to_owned);
            assert!(opened.iter().all(|one| one.vault.current_key() == first.as_deref()));
            assert_eq!(opened.iter().filter(|one| one.made.is_some()).count(), 1);
        }
    }

    #[test]
    fn a_file_that_others_may_read_and_a_damaged_one_are_refused_and_stay_as_they_are() {
        let folder = Folder::new("bad");
        folder.open().unwrap();
        let good = fs::read_to_string(folder.path()).unwrap();
        let set_mode = |mode| fs::set_permissions(folder.path(), fs::Permissions::from_mode(mode)).unwrap();
        for mode in [0o644, 0o640, 0o620, 0o604] {
            set_mode(mode);
            let told = folder.refusal();
            assert!(told.contains("chmod 600") && told.contains(&format!("{mode:04o}")), "{told}");
        }
        set_mode(0o600);
        let key = good.lines().last().unwrap();
        let mistyped =
            if key.ends_with("A=") { key.replace("A=", "E=") } else { key[..key.len() - 2].to_owned() + "A=" };
        let long = "#".repeat(usize::try_from(LONGEST).unwrap() + 1);
        for bad in ["", "# nothing", "hunter2", &key[..key.len() - 9], &mistyped, &long] {
            fs::write(folder.path(), bad).unwrap();
            let told = folder.refusal();
            assert!(told.contains("is damaged") && !told.contains("hunter2"), "{bad}: {told}");
            assert_eq!(fs::read_to_string(folder.path()).unwrap(), bad, "it is never overwritten");
        }
        fs::write(folder.path(), [0xff, 0xfe]).unwrap();
        assert!(folder.refusal().contains("is damaged"));
        fs::remove_file(folder.path()).unwrap();
        fs::create_dir(folder.path()).unwrap();
        assert!(folder.refusal().contains("is no file"));
        fs::remove_dir(folder.path()).unwrap();
        fs::write(folder.path(), &good).unwrap();
        set_mode(0o400);
        assert!(folder.open().is_ok());
    }

    #[test]
    fn keys_of_the_settings_come_first_and_the_file_still_opens_what_it_encrypted() {
        let folder = Folder::new("both");
        let made = folder.open().unwrap().vault.current_key().unwrap().to_owned();
        let keys = KeyRing::parse(&format!("given:{}", "1f".repeat(31) + "00")).unwrap();
        let settings = Settings { keys: Some(keys) };
        let both = open(&folder.0, &Database::Embedded { install: None }, &settings).unwrap();
        assert_eq!((both.vault.current_key(), both.vault.knows(&made)), (Some("given"), true));
        let external = Database::External { url: "postgres://h".into(), admin_url: None, system_url: None };
        let apart = open(&folder.0, &external, &settings).unwrap();
        assert!(!apart.vault.knows(&made), "the file belongs to the embedded database");
        let none = open(&folder.0, &external, &Settings { keys: None }).unwrap();
        assert!(none.made.is_none() && none.vault.current_key().is_none());
    }
}

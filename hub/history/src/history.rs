//! The store that people name, whichever it is.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use sqlx::postgres::PgConnectOptions;
use tokio::time::Instant;

use crate::arrival::{Arrival, DeviceKey};
use crate::clock::Believed;
use crate::error::HistoryError;
use crate::removals::Removals;
use crate::sqlite::Durability;
use crate::view::{
    Chart, Committed, Device, Event, Gap, Latest, Listened, Outage, Purged, Retention, Sizes,
    Standing, StoredDiag, StoredReading,
};
use crate::{postgres, sqlite};

/// What a recorder keeps. Cheap to clone; all clones are of one store.
#[derive(Clone, Debug)]
pub struct History {
    place: Arc<Place>,
}

/// A store that may not be open yet.
#[derive(Debug)]
struct Place {
    address: Address,
    durability: Durability,
    name: String,
    store: OnceLock<Either>,
    /// Held by whoever opens it.
    opening: tokio::sync::Mutex<()>,
    /// Why it could not be opened.
    trouble: Mutex<Option<HistoryError>>,
    /// Held by whoever removes a device, and read by whoever stores: one is behind the other.
    removals: tokio::sync::RwLock<Removals>,
}

#[derive(Debug)]
enum Either {
    Sqlite(sqlite::store::Store),
    Postgres(postgres::store::Store),
}

/// Asks whichever store it is.
macro_rules! ask {
    ($history:expr, $store:ident => $ask:expr) => {
        match $history.store()? {
            Either::Sqlite($store) => $ask,
            Either::Postgres($store) => $ask,
        }
    };
}

impl History {
    /// Opens a store, and makes it if it is not there: a path or `sqlite:PATH` is a file,
    /// `postgres://USER:PASSWORD@HOST/DATABASE` a database on a server (the schema `aldis` in
    /// it).
    ///
    /// # Errors
    /// If it cannot be opened, is not ours, or of a newer program.
    pub async fn open(address: &str) -> Result<Self, HistoryError> {
        Self::open_with(address, Durability::Full).await
    }

    /// Opens a store; a file may be told to be less careful. A server always is careful.
    ///
    /// # Errors
    /// As [`History::open`].
    pub async fn open_with(address: &str, durability: Durability) -> Result<Self, HistoryError> {
        let history = Self::later_with(address, durability)?;
        history.connect().await?;
        Ok(history)
    }

    /// A store that [`connect`](Self::connect) opens. Until then everything that is asked of it
    /// says that it cannot be reached, or why it could not be opened.
    ///
    /// # Errors
    /// If the address is none.
    pub fn later(address: &str) -> Result<Self, HistoryError> {
        Self::later_with(address, Durability::Full)
    }

    fn later_with(address: &str, durability: Durability) -> Result<Self, HistoryError> {
        let address = parse(address)?;
        let name = match &address {
            Address::File(path) => path.display().to_string(),
            Address::Server(_, name) => name.clone(),
        };
        Ok(Self {
            place: Arc::new(Place {
                address,
                durability,
                name,
                store: OnceLock::new(),
                opening: tokio::sync::Mutex::default(),
                trouble: Mutex::default(),
                removals: tokio::sync::RwLock::default(),
            }),
        })
    }

    /// Opens the store, unless it is open.
    ///
    /// # Errors
    /// As [`History::open`]; it can be tried again.
    pub async fn connect(&self) -> Result<(), HistoryError> {
        let place = &*self.place;
        let _opening = place.opening.lock().await;
        if self.is_open() {
            return Ok(());
        }
        let opened = match &place.address {
            Address::File(path) => sqlite::open(path, place.durability)
                .await
                .map(Either::Sqlite),
            Address::Server(options, name) => postgres::open((**options).clone(), name.clone())
                .await
                .map(Either::Postgres),
        };
        match opened {
            Ok(store) => {
                place.store.get_or_init(|| store);
                Ok(())
            }
            Err(error) => {
                *self.trouble() = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Whether the store was opened.
    pub fn is_open(&self) -> bool {
        self.place.store.get().is_some()
    }

    fn store(&self) -> Result<&Either, HistoryError> {
        self.place.store.get().ok_or_else(|| {
            let trouble = self.trouble().clone();
            trouble.unwrap_or_else(|| HistoryError::Unreachable {
                store: self.place.name.clone(),
                reason: "it has not answered yet".to_owned(),
            })
        })
    }

    fn trouble(&self) -> MutexGuard<'_, Option<HistoryError>> {
        let trouble = self.place.trouble.lock();
        trouble.unwrap_or_else(PoisonError::into_inner)
    }

    /// What people call the store; has no password in it.
    pub fn name(&self) -> &str {
        &self.place.name
    }

    /// Waits for what is under way and closes the store.
    pub async fn close(&self) {
        match self.place.store.get() {
            Some(Either::Sqlite(store)) => store.close().await,
            Some(Either::Postgres(store)) => store.close().await,
            None => {}
        }
    }

    /// Stores a batch in one transaction, and says what may be confirmed. What was stored before
    /// is recognised and stored once.
    ///
    /// # Errors
    /// Nothing was stored, or, if a server was lost at the very end, all of it without a word;
    /// either way the batch can be given again.
    pub async fn commit(&self, batch: &[Arrival]) -> Result<Committed, HistoryError> {
        let removals = self.place.removals.read().await;
        let batch = &*removals.left_of(batch);
        ask!(self, store => store.commit(batch).await)
    }

    /// Gives up what is missing of a device's readings of a series ([`Series::key`], or a life)
    /// up to a number; gives up to which number may be confirmed now and how many were given up,
    /// or nothing if that series is not known. A reading that comes all the same is stored.
    ///
    /// [`Series::key`]: crate::Series::key
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn give_up(
        &self,
        device: &DeviceKey,
        series: u64,
        up_to: u32,
    ) -> Result<Option<(u32, u64)>, HistoryError> {
        let key = key(series);
        ask!(self, store => store.give_up(device, key, up_to).await)
    }

    /// Begins a series of a device ([`Series::key`], or a life) at the lowest number that is
    /// stored, if what may have been before it has not come: that is nobody's gap. Gives up to
    /// which number may be confirmed now, or nothing if that series is not known.
    ///
    /// # Errors
    /// Nothing was changed.
    ///
    /// [`Series::key`]: crate::Series::key
    pub async fn settle(
        &self,
        device: &DeviceKey,
        series: u64,
    ) -> Result<Option<u32>, HistoryError> {
        let key = key(series);
        ask!(self, store => store.settle(device, key).await)
    }

    /// The devices, by name.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn devices(&self) -> Result<Vec<Device>, HistoryError> {
        ask!(self, store => store.devices().await)
    }

    /// Gives a device a title; none: its id is enough.
    ///
    /// # Errors
    /// If there is no such device, or the store cannot be written.
    pub async fn rename(
        &self,
        device: &DeviceKey,
        title: Option<&str>,
    ) -> Result<(), HistoryError> {
        ask!(self, store => store.rename(device, title).await)
    }

    /// Removes a device: it is hidden at once, and what was stored of it goes with the next
    /// purges. If it speaks again, it is a new one; what was received of it before and is given to
    /// be stored later ([`Arrival::received`]) goes with it. That is known of what was removed by
    /// this store and its clones, not by another program.
    ///
    /// # Errors
    /// If nothing of such a device is stored, or the store cannot be written.
    pub async fn remove(&self, device: &DeviceKey) -> Result<(), HistoryError> {
        let asked = Instant::now();
        let mut removals = self.place.removals.write().await;
        let removed = ask!(self, store => store.remove(device).await);
        // Nothing of it may be stored yet.
        if matches!(removed, Ok(()) | Err(HistoryError::NoDevice { .. })) {
            removals.note(device, asked);
        }
        removed
    }

    /// The devices that were removed, as long as something of them is left in the store: a minute
    /// as a rule. One that was removed twice is there twice, under different numbers.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn removed(&self) -> Result<Vec<(i64, DeviceKey)>, HistoryError> {
        ask!(self, store => store.removed().await)
    }

    /// How each life of a device stands, in the order in which they were first seen: what a
    /// recorder that starts may confirm.
    ///
    /// # Errors
    /// If there is no such device, or the store cannot be read.
    pub async fn standings(&self, device: &DeviceKey) -> Result<Vec<Standing>, HistoryError> {
        ask!(self, store => store.standings(device).await)
    }

    /// What is missing of a device's readings, by life and number.
    ///
    /// # Errors
    /// If there is no such device, or the store cannot be read.
    pub async fn gaps(&self, device: &DeviceKey) -> Result<Vec<Gap>, HistoryError> {
        ask!(self, store => store.gaps(device).await)
    }

    /// A device's readings that were taken from one moment to before another, in the order in
    /// which they were. They are read page by page: nothing is locked meanwhile, and what is
    /// purged meanwhile is left out.
    ///
    /// # Errors
    /// If there is no such device, or the store cannot be read.
    pub fn readings(
        &self,
        device: &DeviceKey,
        from: i64,
        to: i64,
    ) -> BoxStream<'static, Result<StoredReading, HistoryError>> {
        struct Reader {
            device: i64,
            lives: std::collections::HashMap<i64, u32>,
            place: (i64, i64, i64),
        }
        let history = self.clone();
        let device = device.clone();
        let begin = async move {
            let (device, lives) = ask!(history, store => store.lives(&device).await)?;
            let place = (from.saturating_sub(1), i64::MAX, i64::MAX);
            let reader = Reader {
                device,
                lives,
                place,
            };
            Ok::<_, HistoryError>((history, Some(reader)))
        };
        stream::once(begin)
            .map_ok(move |begun| {
                stream::try_unfold(begun, move |(history, reader)| async move {
                    let Some(mut reader) = reader else {
                        return Ok(None);
                    };
                    let (page, place) = ask!(history, store => {
                        store.page(reader.device, &mut reader.lives, reader.place, to).await
                    })?;
                    let next = place.map(|place| Reader { place, ..reader });
                    let page = stream::iter(page.into_iter().map(Ok));
                    Ok::<_, HistoryError>(Some((page, (history, next))))
                })
                .try_flatten()
            })
            .try_flatten()
            .boxed()
    }

    /// A device's readings from one moment to before another, for a chart of `max_points` at
    /// most, made of readings, five minutes or hours.
    ///
    /// # Errors
    /// If there is no such device, or the store cannot be read.
    pub async fn chart(
        &self,
        device: &DeviceKey,
        from: i64,
        to: i64,
        max_points: u32,
    ) -> Result<Chart, HistoryError> {
        ask!(self, store => store.chart(device, from, to, max_points).await)
    }

    /// What happened to a device from one moment to before another: the newest, newest first.
    ///
    /// # Errors
    /// If there is no such device, or the store cannot be read.
    pub async fn events(
        &self,
        device: &DeviceKey,
        from: i64,
        to: i64,
        limit: u32,
    ) -> Result<Vec<Event>, HistoryError> {
        ask!(self, store => store.events(device, from, to, limit).await)
    }

    /// A device's health from one moment to before another: the newest, newest first.
    ///
    /// # Errors
    /// If there is no such device, or the store cannot be read.
    pub async fn diags(
        &self,
        device: &DeviceKey,
        from: i64,
        to: i64,
        limit: u32,
    ) -> Result<Vec<StoredDiag>, HistoryError> {
        ask!(self, store => store.diags(device, from, to, limit).await)
    }

    /// The newest that is known of a device.
    ///
    /// # Errors
    /// If there is no such device, or the store cannot be read.
    pub async fn latest(&self, device: &DeviceKey) -> Result<Latest, HistoryError> {
        ask!(self, store => store.latest(device).await)
    }

    /// When a device had no contact, as its status says, between one moment and another. One that
    /// began earlier is given whole. One that was told when a recorder came back, and none had
    /// listened, begins with the last sign of life of a recorder: see [`History::listened`].
    ///
    /// # Errors
    /// If there is no such device, or the store cannot be read.
    pub async fn outages(
        &self,
        device: &DeviceKey,
        from: i64,
        to: i64,
    ) -> Result<Vec<Outage>, HistoryError> {
        ask!(self, store => store.outages(device, from, to).await)
    }

    /// Notes that a recorder listens, or went on to: its sign of life. What comes between
    /// `back_ms` and `from_ms` of a stretch had waited for a recorder, if no other one listened.
    ///
    /// # Errors
    /// Nothing was noted.
    pub async fn listened(&self, listened: &Listened) -> Result<(), HistoryError> {
        ask!(self, store => store.listened(listened).await)
    }

    /// Rolls up the five minutes that are over and have changed, and their hours; gives how many
    /// they were. Charts are right without it, and slower.
    ///
    /// # Errors
    /// What was rolled up until then stays so.
    pub async fn roll_up(&self, now: i64) -> Result<u64, HistoryError> {
        ask!(self, store => store.roll_up(now).await)
    }

    /// Takes what the clock says, and how long the program ran (by a clock that nobody sets)
    /// since it took that last, or since it began; gives which time may be believed.
    ///
    /// That is the clock's if it is at most a day from where it ought to be. If it jumped
    /// farther, it is what it was until the program has run with the new time for a day; so it is
    /// with the first clock of a store. Call it each minute or so.
    ///
    /// Where the clock was set back, the readings that came in what is its future now are no
    /// longer exact: they were taken no later than it says there.
    ///
    /// # Errors
    /// If what is known of the clock cannot be read or written.
    pub async fn believe(&self, now: i64, ran: Duration) -> Result<Believed, HistoryError> {
        let ran_ms = i64::try_from(ran.as_millis()).unwrap_or(i64::MAX);
        ask!(self, store => store.believe(now, ran_ms).await)
    }

    /// Deletes at most so many rows of what is older than it has to be, and of removed devices,
    /// with a transaction for each device and level. Do it again while there is more.
    ///
    /// Readings go by whole hours, and only when they are rolled up.
    ///
    /// # Errors
    /// What was deleted until then is gone.
    pub async fn purge(
        &self,
        believed: Believed,
        retention: &Retention,
        at_most: u32,
    ) -> Result<Purged, HistoryError> {
        ask!(self, store => store.purge(believed, retention, at_most).await)
    }

    /// Copies what is committed into a new file, while others go on; it has its name when it is
    /// whole and on the disk.
    ///
    /// # Errors
    /// If something is there, or cannot be written. On a server that is not possible: the error
    /// says how to do it there.
    pub async fn backup(&self, to: &Path) -> Result<(), HistoryError> {
        match self.store()? {
            Either::Sqlite(store) => sqlite::backup(store, to).await,
            Either::Postgres(store) => Err(HistoryError::Backup {
                store: store.name().to_owned(),
                path: to.to_owned(),
                reason: format!(
                    "a server's database is copied by its own tool: \
                     pg_dump --schema=aldis --format=custom --file={} {}",
                    to.display(),
                    store.name()
                ),
            }),
        }
    }

    /// How much there is.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn sizes(&self) -> Result<Sizes, HistoryError> {
        ask!(self, store => store.sizes().await)
    }
}

/// A series' key as the store has it.
fn key(series: u64) -> i64 {
    i64::try_from(series).unwrap_or(i64::MAX)
}

#[derive(Debug)]
enum Address {
    File(PathBuf),
    Server(Box<PgConnectOptions>, String),
}

fn parse(address: &str) -> Result<Address, HistoryError> {
    let wrong = |reason: &str| HistoryError::Address {
        store: without_password(address),
        reason: reason.to_owned(),
    };
    if address.starts_with("postgres://") || address.starts_with("postgresql://") {
        let options =
            PgConnectOptions::from_str(address).map_err(|error| wrong(&error.to_string()))?;
        return Ok(Address::Server(
            Box::new(options),
            without_password(address),
        ));
    }
    let path = match address.split_once(':') {
        // Two slashes make no host of it.
        Some(("sqlite", path)) => path.strip_prefix("//").unwrap_or(path),
        Some((scheme, rest)) if rest.starts_with("//") => {
            return Err(wrong(&format!("`{scheme}` is no store that is known")));
        }
        _ => address,
    };
    match path {
        "" => Err(wrong("the path is missing")),
        // Each connection would have a database of its own.
        ":memory:" => Err(wrong("a store in memory keeps nothing")),
        path => Ok(Address::File(PathBuf::from(path))),
    }
}

/// The address as it may be shown.
fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else {
        return address.to_owned();
    };
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (rest, None),
    };
    let place = match place.rsplit_once('@') {
        Some((user, host)) => {
            let user = user.split(':').next().unwrap_or_default();
            format!("{user}@{host}")
        }
        None => place.to_owned(),
    };
    let query: Vec<_> = query
        .into_iter()
        .flat_map(|query| query.split('&'))
        .filter(|pair| !pair.to_ascii_lowercase().starts_with("pass"))
        .collect();
    if query.is_empty() {
        format!("{scheme}://{place}")
    } else {
        format!("{scheme}://{place}?{}", query.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A password in an error is in a log, and from there everywhere.
    #[test]
    fn addresses_are_shown_without_their_password() {
        for (address, shown) in [
            ("postgres://me:secret@host/db", "postgres://me@host/db"),
            ("postgres://me:se@cr:et@host/db", "postgres://me@host/db"),
            (
                "postgres://me@/db?host=/run&password=secret&port=1",
                "postgres://me@/db?host=/run&port=1",
            ),
            ("postgres://host/db", "postgres://host/db"),
            ("history.db", "history.db"),
        ] {
            assert_eq!(without_password(address), shown);
        }
        let error = parse("mysql://me:secret@host/db")
            .err()
            .unwrap()
            .to_string();
        assert!(!error.contains("secret"), "{error}");
        assert!(error.contains("postgres://"), "{error}");
        let error = parse("postgres://me:secret@host:port/db").err().unwrap();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    /// A file called by its name must not become one called `sqlite:...`.
    #[test]
    fn files_are_files() {
        for (address, expected) in [
            ("history.db", "history.db"),
            ("/var/lib/history.db", "/var/lib/history.db"),
            ("sqlite:history.db", "history.db"),
            ("sqlite:///var/history.db", "/var/history.db"),
            ("a:b", "a:b"),
        ] {
            match parse(address) {
                Ok(Address::File(path)) => assert_eq!(path, Path::new(expected)),
                _ => panic!("{address}"),
            }
        }
        for address in ["", "sqlite:", "sqlite::memory:", "http://host/"] {
            assert!(parse(address).is_err(), "{address}");
        }
    }
}

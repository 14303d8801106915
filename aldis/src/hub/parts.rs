//! What works beside the broker: the recorder.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aldis_client::Broker;
use aldis_history::{History, HistoryError, Retention};
use aldis_hub::{HubFile, RecorderSection};
use aldis_mqtt::link::tokio::Tls;
use aldis_pc::BrokerUrl;
use aldis_recorder::{Figures, Recorder, RecorderOptions, RunningRecorder};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::history::FILE;

/// The recorder, and where it finds its broker.
#[derive(clap::Args)]
#[command(next_help_heading = "Beside the broker")]
#[group(skip)]
pub struct Args {
    /// Use this broker, mqtt[s]://host[:port], and run none
    #[arg(
        long,
        value_name = "URL",
        env = "ALDIS_HUB_BROKER",
        hide_env_values = true,
        conflicts_with_all = ["listen", "lan", "ws", "tls"]
    )]
    pub broker: Option<String>,
    /// The user name there; the password is in ALDIS_PASSWORD, or in a file
    #[arg(long, value_name = "NAME", env = "ALDIS_USERNAME", requires = "broker")]
    username: Option<String>,
    /// A file whose first line is the password there
    #[arg(
        long,
        value_name = "FILE",
        env = "ALDIS_PASSWORD_FILE",
        requires = "broker"
    )]
    password_file: Option<PathBuf>,
    /// Trust the certificate authorities in this PEM file, no others (mqtts://)
    #[arg(long, value_name = "FILE", env = "ALDIS_CAFILE", requires = "broker")]
    cafile: Option<PathBuf>,
    /// Record there: a file, or postgres://USER@HOST/DATABASE [default: DIR/history.db]
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "ALDIS_HUB_STORE",
        hide_env_values = true
    )]
    store: Option<String>,
    /// Share the recording with the hubs that have the same word here
    #[arg(long, value_name = "WORD", env = "ALDIS_HUB_SHARE")]
    share: Option<String>,
    /// Record nothing
    #[arg(long, conflicts_with_all = ["store", "share"])]
    no_recorder: bool,
}

/// What is to run beside the broker.
#[derive(Debug)]
pub struct Plan {
    /// An external broker.
    pub broker: Option<Broker>,
    recorder: Option<Recording>,
}

#[derive(Clone, Debug)]
struct Recording {
    store: String,
    share: Option<String>,
    client_id: String,
    retention: Retention,
}

/// Days as milliseconds.
fn days(days: u32) -> i64 {
    i64::from(days) * 24 * 60 * 60 * 1_000
}

/// How long what is kept; a day count of 0 is for ever.
fn retention(section: &RecorderSection) -> Retention {
    let of = |given: Option<u32>, usual: Option<u32>| match given {
        None => usual.map(days),
        Some(0) => None,
        Some(given) => Some(days(given)),
    };
    Retention {
        raw_ms: of(section.readings_days, Some(90)),
        five_ms: of(section.five_minutes_days, Some(3 * 365)),
        hour_ms: of(section.hours_days, None),
        events_ms: of(section.events_days, Some(3 * 365)),
        diag_ms: of(section.health_days, Some(60)),
    }
}

impl Plan {
    /// According to flags, variables and the file.
    pub fn new(args: &Args, file: &HubFile, data: &Path) -> Result<Self, String> {
        let broker = match args.broker.as_deref().filter(|url| !url.is_empty()) {
            Some(url) => Some(external(args, url)?),
            None => None,
        };
        let usual = RecorderSection::default();
        let section = file.recorder.as_ref().unwrap_or(&usual);
        let recorder = if args.no_recorder || section.off {
            None
        } else {
            let store = args.store.clone().or_else(|| section.store.clone());
            let share = args.share.clone().or_else(|| section.share.clone());
            if let Some(share) = &share
                && (share.is_empty() || share.contains(['/', '+', '#']))
            {
                return Err(format!(
                    "`--share {share}`: the word is a level of a topic, without `/`, `+` and `#`"
                ));
            }
            Some(Recording {
                store: store.unwrap_or_else(|| data.join(FILE).to_string_lossy().into_owned()),
                client_id: match (&broker, &share) {
                    (None, None) if file.cluster.is_some() => {
                        return Err("in a cluster the recorders share the work, and one store: \
                             `[recorder]` needs `share = WORD` and `store = postgres://...`, or \
                             `off = true`"
                            .into());
                    }
                    // Nobody else is at the hub's own broker.
                    (None, None) => "aldis-recorder".to_owned(),
                    _ => client_id(data).map_err(|error| {
                        format!(
                            "the data directory {} cannot be used: {error}",
                            data.display()
                        )
                    })?,
                },
                share,
                retention: retention(section),
            })
        };
        Ok(Self { broker, recorder })
    }
}

fn external(args: &Args, url: &str) -> Result<Broker, String> {
    let url: BrokerUrl = url
        .parse()
        .map_err(|error| format!("the broker's URL {error}"))?;
    let tls = match (&args.cafile, url.tls) {
        (Some(file), true) => Some(Tls::from_ca_file(file)),
        (None, true) => Some(Tls::system()),
        (Some(_), false) => {
            return Err("`--cafile` is for TLS: write `mqtts://` for `mqtt://`".into());
        }
        (None, false) => None,
    };
    let in_url = url
        .password
        .as_ref()
        .map(|secret| secret.expose().to_owned());
    let in_variable = std::env::var("ALDIS_PASSWORD")
        .ok()
        .filter(|password| !password.is_empty());
    let password = match (in_url, &args.password_file) {
        (Some(password), _) => Some(password),
        (None, Some(file)) => {
            let text = fs::read_to_string(file).map_err(|error| {
                format!(
                    "the password file {} cannot be read: {error}",
                    file.display()
                )
            })?;
            Some(text.lines().next().unwrap_or_default().to_owned())
        }
        (None, None) => in_variable,
    };
    let username = url.username.clone().or_else(|| args.username.clone());
    if password.is_some() && username.is_none() {
        return Err("there is a password, but no user name: `--username NAME`".into());
    }
    Ok(Broker {
        tls: tls.transpose().map_err(|error| error.to_string())?,
        username,
        password,
        ..Broker::new(url.host, url.port)
    })
}

/// The name of this hub's recorder at a broker that others use as well.
fn client_id(data: &Path) -> io::Result<String> {
    let path = data.join("recorder-id");
    if let Ok(text) = fs::read_to_string(&path)
        && let id = text.trim()
        && id.starts_with("aldis-recorder-")
        && aldis_protocol::topic::check_id(id).is_ok()
    {
        return Ok(id.to_owned());
    }
    fs::create_dir_all(data)?;
    let id = format!("aldis-recorder-{:08x}", fastrand::u32(..));
    fs::write(path, format!("{id}\n"))?;
    Ok(id)
}

/// Reserves a data directory for a hub without a broker, for as long as this lives.
pub fn reserve(data: &Path) -> Result<File, String> {
    let io = |error: io::Error| {
        format!(
            "the data directory {} cannot be used: {error}; name another with `--data DIR`",
            data.display()
        )
    };
    fs::create_dir_all(data).map_err(io)?;
    let lock = File::create(data.join("parts.lock")).map_err(io)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(format!(
            "another hub uses the data directory {}: stop it, or name another with `--data DIR`",
            data.display()
        )),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

/// The parts that run.
pub struct Parts {
    /// Where it is recorded, as it may be shown.
    pub store: Option<String>,
    recorder: Arc<Mutex<Option<RunningRecorder>>>,
    starting: Option<JoinHandle<()>>,
}

impl Parts {
    /// Starts them. What they need and is away is waited for.
    pub async fn start(plan: &Plan, broker: Broker) -> Result<Self, String> {
        let recorder = Arc::new(Mutex::new(None));
        let mut parts = Self {
            store: None,
            recorder: recorder.clone(),
            starting: None,
        };
        let Some(recording) = plan.recorder.clone() else {
            return Ok(parts);
        };
        match History::open(&recording.store).await {
            Ok(history) => {
                parts.store = Some(shown(&recording.store));
                let running = record(recording, broker, history)?;
                *recorder.lock().await = Some(running);
            }
            Err(error) if error.is_transient() => {
                tracing::error!("{error}. The hub runs without recording until then");
                parts.store = Some(shown(&recording.store));
                parts.starting = Some(tokio::spawn(async move {
                    let history = wait_for(&recording.store, error).await;
                    match history.and_then(|history| record(recording, broker, history)) {
                        Ok(running) => {
                            tracing::info!("recording begins");
                            *recorder.lock().await = Some(running);
                        }
                        Err(error) => tracing::error!("nothing is recorded: {error}"),
                    }
                }));
            }
            Err(error) => return Err(error.to_string()),
        }
        Ok(parts)
    }

    /// Ends them within three seconds.
    pub async fn shutdown(self) {
        if let Some(starting) = self.starting {
            starting.abort();
        }
        if let Some(recorder) = self.recorder.lock().await.take() {
            let figures = recorder.figures();
            recorder.shutdown().await;
            tell(&figures);
        }
    }
}

fn tell(figures: &Figures) {
    tracing::info!(
        "{} readings were recorded, {} came again, {} messages could not be read",
        figures.stored,
        figures.repeated,
        figures.unreadable
    );
}

fn record(
    recording: Recording,
    broker: Broker,
    history: History,
) -> Result<RunningRecorder, String> {
    let options = RecorderOptions {
        client_id: recording.client_id,
        share: recording.share,
        retention: recording.retention,
        ..RecorderOptions::new(broker, history)
    };
    Recorder::start(options).map_err(|error| error.to_string())
}

/// Opens a store that was away.
async fn wait_for(store: &str, first: HistoryError) -> Result<History, String> {
    let mut pause = Duration::from_millis(250);
    let mut last = first.to_string();
    loop {
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
        match History::open(store).await {
            Ok(history) => return Ok(history),
            Err(error) if error.is_transient() => {
                let words = error.to_string();
                if words != last {
                    tracing::error!("{words}");
                }
                last = words;
            }
            Err(error) => return Err(error.to_string()),
        }
    }
}

/// An address without its password.
fn shown(store: &str) -> String {
    match store.split_once("://") {
        Some((scheme, rest)) => {
            let place = rest.split('?').next().unwrap_or(rest);
            let place = match place.rsplit_once('@') {
                Some((user, host)) => {
                    format!("{}@{host}", user.split(':').next().unwrap_or_default())
                }
                None => place.to_owned(),
            };
            format!("{scheme}://{place}")
        }
        None => store.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is to be kept would be deleted.
    #[test]
    fn days_are_kept_as_they_are_said() {
        let section = RecorderSection {
            readings_days: Some(0),
            hours_days: Some(2),
            ..RecorderSection::default()
        };
        let retention = retention(&section);
        assert_eq!(retention.raw_ms, None);
        assert_eq!(retention.hour_ms, Some(172_800_000));
        assert_eq!(retention.diag_ms, Some(60 * 86_400_000));
    }

    /// Another name at each start leaves a session behind at the broker each time.
    #[test]
    fn a_recorder_keeps_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let first = client_id(dir.path()).unwrap();
        assert_eq!(client_id(dir.path()).unwrap(), first);
        fs::write(dir.path().join("recorder-id"), "kitchen").unwrap();
        assert!(
            client_id(dir.path())
                .unwrap()
                .starts_with("aldis-recorder-")
        );
    }

    /// A password that is shown is in the journal.
    #[test]
    fn stores_are_shown_without_passwords() {
        assert_eq!(shown("postgres://a:b@c/d?password=x"), "postgres://a@c/d");
        assert_eq!(shown("/var/lib/history.db"), "/var/lib/history.db");
    }
}

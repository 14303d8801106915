//! What works beside the broker: recorder, dashboard, Home Assistant.

mod removed;
mod store;
mod titles;
pub mod web;

use std::fs::{self, File, TryLockError};
use std::future::{Future, poll_fn};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::Poll;

use aldis_client::Broker;
use aldis_dashboard::RunningDashboard;
use aldis_history::{History, Retention};
use aldis_homeassistant::{HomeAssistant, Titles};
use aldis_hub::{HubFile, Keyring, RecorderSection};
use aldis_mqtt::link::tokio::Tls;
use aldis_pc::BrokerUrl;
use aldis_recorder::{Figures, Paired, Recorder, RecorderOptions, RunningRecorder};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

use super::address::{address, usual_host};
use super::place::Place;
use super::unit::Flag;
use crate::history::{StoreArgs, file_in};
use web::Web;

/// The recorder, and where it finds its broker.
#[derive(clap::Args)]
#[command(next_help_heading = "Beside the broker")]
#[group(skip)]
pub struct Args {
    /// Use this broker, mqtt://host:port or mqtts://host:port, and run none
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
    #[command(flatten)]
    place: StoreArgs,
    /// Share the recording with the hubs that have the same word here
    #[arg(long, value_name = "WORD", env = "ALDIS_HUB_SHARE")]
    share: Option<String>,
    /// Record nothing; there is no dashboard then, either
    #[arg(long, conflicts_with_all = ["store", "share", "dashboard"])]
    no_recorder: bool,
    /// Where the dashboard is [default: port 8080 of this machine alone, with --lan of all
    /// addresses; another port if that is taken]
    #[arg(long, value_name = "ADDR", env = "ALDIS_HUB_DASHBOARD")]
    dashboard: Option<String>,
    /// Show no dashboard
    #[arg(long, conflicts_with = "dashboard")]
    no_dashboard: bool,
    /// Announce no devices to Home Assistant, and take back what was announced
    #[arg(long)]
    no_homeassistant: bool,
}

impl Args {
    /// What goes into a unit of the service.
    pub fn unit_flags(&self, flags: &mut Vec<Flag>) {
        let of = |name, variable, value: &Option<String>| {
            value.clone().map(|value| match is_secret(&value) {
                true => Flag::Secret(variable, value),
                false => Flag::Value(name, value),
            })
        };
        let file = |name, path: &Option<PathBuf>| path.clone().map(|path| Flag::File(name, path));
        flags.extend(of("--broker", "ALDIS_HUB_BROKER", &self.broker));
        flags.extend(of("--username", "ALDIS_USERNAME", &self.username));
        flags.extend(file("--password-file", &self.password_file));
        flags.extend(file("--cafile", &self.cafile));
        flags.extend(of("--store", "ALDIS_HUB_STORE", &self.place.store));
        flags.extend(of("--share", "ALDIS_HUB_SHARE", &self.share));
        flags.extend(of("--dashboard", "ALDIS_HUB_DASHBOARD", &self.dashboard));
        let switches = [
            (self.no_recorder, "--no-recorder"),
            (self.no_dashboard, "--no-dashboard"),
            (self.no_homeassistant, "--no-homeassistant"),
        ];
        flags.extend(
            switches
                .into_iter()
                .filter_map(|(given, name)| given.then_some(Flag::Switch(name))),
        );
        let password = std::env::var("ALDIS_PASSWORD").ok();
        if self.broker.is_some() && self.password_file.is_none() {
            let password = password.filter(|password| !password.is_empty());
            flags.extend(password.map(|password| Flag::Secret("ALDIS_PASSWORD", password)));
        }
    }
}

/// Whether an address has a password in it.
fn is_secret(address: &str) -> bool {
    let Some((_, rest)) = address.split_once("://") else {
        return false;
    };
    let place = rest.split(['/', '?']).next().unwrap_or(rest);
    let has_user = place
        .rsplit_once('@')
        .is_some_and(|(user, _)| user.contains(':'));
    has_user || rest.to_ascii_lowercase().contains("password=")
}

/// What is to run beside the broker.
#[derive(Clone, Debug)]
pub struct Plan {
    /// An external broker.
    pub broker: Option<Broker>,
    recorder: Option<Recording>,
    web: Option<Web>,
    announcing: Announcing,
}

/// What Home Assistant is told.
#[derive(Clone, Debug)]
struct Announcing {
    withdraw: bool,
    discovery_prefix: Option<String>,
    birth_topic: Option<String>,
}

#[derive(Clone, Debug)]
struct Recording {
    store: String,
    share: Option<String>,
    client_id: String,
    retention: Retention,
    newcomers: Option<u32>,
}

/// How many devices that nobody paired are recorded for the first time within an hour.
const NEWCOMERS: u32 = 100;

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
    pub fn new(args: &Args, file: &HubFile, data: &Path, lan: bool) -> Result<Self, String> {
        let broker = match args.broker.as_deref().filter(|url| !url.is_empty()) {
            Some(url) => Some(external(args, url)?),
            None => None,
        };
        let usual = RecorderSection::default();
        let section = file.recorder.as_ref().unwrap_or(&usual);
        let recorder = if args.no_recorder || section.off {
            None
        } else {
            let store = args.place.store.clone().or_else(|| section.store.clone());
            let share = args.share.clone().or_else(|| section.share.clone());
            if let Some(share) = &share
                && (share.is_empty() || share.contains(['/', '+', '#']))
            {
                return Err(format!(
                    "`--share {share}`: the word is a level of a topic, without `/`, `+` and `#`"
                ));
            }
            if share.is_some() && !store.as_deref().is_some_and(|store| store.contains("://")) {
                return Err(
                    "hubs that share the recording record in one place: name a server with \
                     `--store postgres://USER@HOST/DATABASE`"
                        .into(),
                );
            }
            Some(Recording {
                store: store.unwrap_or_else(|| file_in(data)),
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
                newcomers: match section.new_devices {
                    None => Some(NEWCOMERS),
                    Some(0) => None,
                    given => given,
                },
            })
        };
        let section = file.dashboard.clone().unwrap_or_default();
        let web = if args.no_dashboard || section.off || recorder.is_none() {
            None
        } else {
            let flag = args.dashboard.as_ref().map(|text| ("--dashboard", text));
            let key = section
                .listen
                .as_ref()
                .map(|text| ("[dashboard] listen =", text));
            let asked = flag.or(key);
            let listen = match asked {
                Some((said, text)) => address(said, text, web::PORT, lan)?,
                None => SocketAddr::new(usual_host(lan), web::PORT),
            };
            Some(Web {
                listen,
                asked: asked.is_some(),
                name: section.name.unwrap_or_else(host_name),
                secure: None,
            })
        };
        let section = file.homeassistant.clone().unwrap_or_default();
        let announcing = Announcing {
            withdraw: args.no_homeassistant || section.enabled == Some(false),
            discovery_prefix: section.discovery_prefix,
            birth_topic: section.birth_topic,
        };
        Ok(Self {
            broker,
            recorder,
            web,
            announcing,
        })
    }
}

impl Plan {
    /// Whether other machines are to reach the dashboard.
    pub fn is_open(&self) -> bool {
        let web = self.web.as_ref();
        web.is_some_and(|web| !web.listen.ip().is_loopback())
    }

    /// Where other machines reach the dashboard it speaks HTTPS as well. Without a certificate
    /// they do not reach it: the owner's password would go through the network as it is.
    pub fn secure(&mut self, place: &Place) {
        let is_open = self.is_open();
        let Some(web) = self.web.as_mut().filter(|_| is_open) else {
            return;
        };
        let listen = SocketAddr::new(web.listen.ip(), web::SECURE_PORT);
        web.secure = place.https(listen);
        if web.secure.is_none() {
            web.listen.set_ip(match web.listen {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
            tracing::error!(
                "there is no certificate for HTTPS, so the dashboard is for this machine alone: \
                 the owner's password would go through the network as it is"
            );
        }
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

/// What this machine is called.
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "hub".to_owned(),
        name => name.to_owned(),
    }
}

/// The parts that run.
#[derive(Default)]
pub struct Parts {
    /// Where it is recorded, as it may be shown.
    pub store: Option<String>,
    /// Where the dashboard is.
    pub dashboard: Option<SocketAddr>,
    /// The same, over HTTPS.
    pub secure_dashboard: Option<SocketAddr>,
    running: Running,
    /// Who waits for the store.
    opening: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Running {
    recorder: Option<RunningRecorder>,
    dashboard: Option<RunningDashboard>,
    following: Vec<Following>,
}

/// What follows the devices beside recorder and dashboard, and what it is called.
type Following = (&'static str, JoinHandle<()>);

const ANNOUNCING: &str = "the announcement to Home Assistant";
const TIDYING: &str = "the tidying up after removed devices";

/// Waits until one of them has ended.
async fn one_ended(following: &mut Vec<Following>) -> (&'static str, Result<(), JoinError>) {
    poll_fn(|context| {
        for place in 0..following.len() {
            if let Some((what, task)) = following.get_mut(place)
                && let Poll::Ready(how) = Pin::new(task).poll(context)
            {
                let what = *what;
                following.remove(place);
                return Poll::Ready((what, how));
            }
        }
        Poll::Pending
    })
    .await
}

/// What comes of something, if it is there at all.
pub async fn after<F: Future>(something: Option<F>) -> F::Output {
    match something {
        Some(something) => something.await,
        None => std::future::pending().await,
    }
}

/// Says that something ended which works for ever, and why.
pub fn ended(what: &str, how: Result<(), JoinError>) -> String {
    let why = match how {
        Ok(()) => "its log says why".to_owned(),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => {
                let words = panic.downcast_ref::<String>().map(String::as_str);
                let words = words.or_else(|| panic.downcast_ref::<&str>().copied());
                format!("a mistake in the program: {}", words.unwrap_or("?"))
            }
            Err(error) => error.to_string(),
        },
    };
    format!("{what} ended unasked ({why}), so the hub ends; start it again")
}

/// What the parts work with.
#[derive(Clone)]
pub struct Scene {
    /// The broker, and who to be there.
    pub broker: Broker,
    /// The hub's data directory.
    pub data: PathBuf,
    /// Who may sign in.
    pub keys: Keyring,
    /// The command that sets the owner's password.
    pub set_password: String,
}

impl Parts {
    /// Starts them. What they need and is away is waited for.
    pub async fn start(plan: &Plan, scene: Scene) -> Result<Self, String> {
        let Some(recording) = plan.recorder.clone() else {
            return Ok(Self::default());
        };
        let history = History::later(&recording.store).map_err(|error| error.to_string())?;
        let opening = store::open(&history).await?;
        let store = history.name().to_owned();
        let running = Running::start(plan, recording, &scene, history).await?;
        let dashboard = running.dashboard.as_ref();
        Ok(Self {
            store: Some(store),
            dashboard: dashboard.map(RunningDashboard::addr),
            secure_dashboard: dashboard.and_then(RunningDashboard::https_addr),
            running,
            opening,
        })
    }

    /// Whether the store is there.
    pub fn is_recording(&self) -> bool {
        self.opening.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the end of what works for ever, and says what it was.
    pub async fn ended(&mut self) -> String {
        if let Some(opening) = &mut self.opening {
            tokio::select! {
                opened = opening => {
                    self.opening = None;
                    if opened.is_err() {
                        return ended("what waits for the store", opened);
                    }
                }
                ended = self.running.ended() => return ended,
            }
        }
        self.running.ended().await
    }

    /// Ends them within five seconds.
    pub async fn shutdown(self) {
        if let Some(opening) = self.opening {
            opening.abort();
        }
        let running = self.running;
        for (_, following) in running.following {
            following.abort();
        }
        if let Some(dashboard) = running.dashboard {
            dashboard.shutdown().await;
        }
        if let Some(recorder) = running.recorder {
            let figures = recorder.figures();
            recorder.shutdown().await;
            tell(&figures);
        }
    }
}

impl Running {
    async fn ended(&mut self) -> String {
        tokio::select! {
            (what, how) = after(self.recorder.as_mut().map(RunningRecorder::ended)) => {
                ended(what, how)
            }
            (what, how) = after(self.dashboard.as_mut().map(RunningDashboard::ended)) => {
                ended(&what, how)
            }
            (what, how) = one_ended(&mut self.following) => ended(what, how),
        }
    }

    async fn start(
        plan: &Plan,
        recording: Recording,
        scene: &Scene,
        history: History,
    ) -> Result<Self, String> {
        let client_id = recording.client_id.clone();
        let recorder = record(recording, scene, history.clone())?;
        let figures = recorder.figures_later();
        let dashboard = match &plan.web {
            None => None,
            Some(web) => {
                let (broker, history) = (scene.broker.clone(), history.clone());
                let figures = move || Some(figures());
                let started = web.start(scene, broker, history, figures).await?;
                Some(started)
            }
        };
        let tidying = removed::follow(
            history.clone(),
            scene.broker.clone(),
            client_id.replacen("aldis-recorder", "aldis-tidier", 1),
        );
        let following = vec![
            (
                ANNOUNCING,
                announce(&plan.announcing, &client_id, scene, history)?,
            ),
            (TIDYING, tokio::spawn(tidying)),
        ];
        Ok(Self {
            recorder: Some(recorder),
            dashboard,
            following,
        })
    }
}

/// Announces devices to Home Assistant, and follows their names.
fn announce(
    announcing: &Announcing,
    recorder: &str,
    scene: &Scene,
    history: History,
) -> Result<JoinHandle<()>, String> {
    let client_id = recorder.replacen("aldis-recorder", "aldis-homeassistant", 1);
    let (titles, watching) = watch::channel(Titles::new());
    let mut options = aldis_homeassistant::Options::new(scene.broker.clone());
    options.client_id.clone_from(&client_id);
    options.name = Some(client_id);
    options.withdraw = announcing.withdraw;
    options.titles = Some(watching);
    options.seed = fastrand::u64(..);
    if let Some(prefix) = &announcing.discovery_prefix {
        options.discovery_prefix.clone_from(prefix);
    }
    if let Some(topic) = &announcing.birth_topic {
        options.birth_topic.clone_from(topic);
    }
    let announcer =
        HomeAssistant::start(options).map_err(|error| format!("[homeassistant] {error}"))?;
    let withdraw = announcing.withdraw;
    Ok(tokio::spawn(async move {
        if withdraw {
            if let Some(count) = announcer.withdrawn().await
                && count > 0
            {
                tracing::info!("{count} devices were taken back from Home Assistant");
            }
            announcer.shutdown().await;
            // That was all there was to do.
            return std::future::pending().await;
        }
        titles::follow(history, titles, announcer).await;
    }))
}

fn tell(figures: &Figures) {
    tracing::info!(
        "{} readings were recorded, {} came again, {} messages could not be read, {} were of too \
         many new devices",
        figures.stored,
        figures.repeated,
        figures.unreadable,
        figures.turned_away
    );
}

fn record(
    recording: Recording,
    scene: &Scene,
    history: History,
) -> Result<RunningRecorder, String> {
    let keys = scene.keys.clone();
    let paired = Paired::new(move |device| {
        let keys = keys.current();
        let found = keys.devices.get(device.id());
        found.is_some_and(|found| found.prefix == device.prefix())
    });
    let options = RecorderOptions {
        client_id: recording.client_id,
        share: recording.share,
        retention: recording.retention,
        paired,
        newcomers: recording.newcomers,
        ..RecorderOptions::new(scene.broker.clone(), history)
    };
    Recorder::start(options).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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

    /// A password in a unit is read by everybody on the machine.
    #[test]
    fn addresses_with_passwords_are_secrets() {
        for (address, secret) in [
            ("postgres://a:b@c/d", true),
            ("postgres://c/d?user=a&PASSWORD=b", true),
            ("mqtts://me:pw@hub", true),
            // A `/` in a password is written %2F.
            ("mqtt://me:p%2Fw@hub:1883", true),
            ("postgres://a@c/d", false),
            ("mqtt://hub:1883", false),
            ("/var/lib/aldis/history.db", false),
        ] {
            assert_eq!(is_secret(address), secret, "{address}");
        }
    }

    /// A part that died would be missed by nobody: the log says it once, and the hub goes on
    /// without recording.
    #[tokio::test]
    async fn a_part_that_dies_is_told() {
        let dead = || Some(tokio::spawn(async { panic!("{}", "broken") }));
        let at_work = || Some(tokio::spawn(std::future::pending()));
        let parts = |opening, following: Option<JoinHandle<()>>| Parts {
            running: Running {
                following: following
                    .map(|task| (ANNOUNCING, task))
                    .into_iter()
                    .collect(),
                ..Running::default()
            },
            opening,
            ..Parts::default()
        };
        let opened = Some(tokio::spawn(async {}));
        for (mut parts, what) in [
            (parts(None, dead()), "Home Assistant"),
            (parts(at_work(), dead()), "Home Assistant"),
            (parts(opened, dead()), "Home Assistant"),
            (parts(dead(), at_work()), "the store"),
        ] {
            let said = parts.ended().await;
            assert!(said.contains(what) && said.contains("broken"), "{said}");
            parts.shutdown().await;
        }
        let mut none = Parts::default();
        let waited = tokio::time::timeout(Duration::ZERO, none.ended());
        assert!(waited.await.is_err());
    }
}

//! A device that runs on this machine: the device's own code on tokio's network
//! and clock, with a sensor and a lamp made of memory.

use std::cell::RefCell;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use aldis_device::dht::Pulse;
use aldis_device::screen::{Frame, Panel, Rotation, Screen, Step};
use aldis_device::{
    Backlog, Board, Device, Facts, GivenUp, Kept, Letter, Mail, Mark, Memory, Note, Notice,
    Outgoing, Saved, Settings, Vitals,
};
use aldis_mqtt::link::tokio::{TcpConnector, Tls, TlsError, TokioClock};
use aldis_mqtt::link::{Clock, Link};
use aldis_mqtt::{
    Backoff, Cause, Instant, Network, OptionsError, ReasonCode, SubscribeError, Timeouts, Version,
    Versions,
};
use aldis_panel::{Shared, Ssd1306};
use aldis_protocol::topic::InvalidName;
use aldis_protocol::{Lamp, LampCommand, MessageState, Reading, ResetReason, SensorState};
use embassy_futures::poll_once;
use tokio::time::sleep;

use crate::button::Button;
use crate::config;
use crate::readings::{Moment, Readings};
use crate::sensor::{Choice, PulseSource, RecordingError};
use crate::state::{Post, StateDir, StateError};
use crate::{BrokerUrl, Config, Secret};

/// What goes out together: as much as one segment of a local network holds.
const SEGMENT: usize = 1_400;

/// What a virtual device tells the program that runs it.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the fields are those of the device's notices")]
pub enum Report {
    /// The device begins to run.
    Started {
        id: String,
        broker: String,
        boot: u32,
    },
    /// A measurement succeeded.
    Reading(Reading),
    /// The sensor's state changed.
    Sensor(SensorState),
    /// The state of the lamp changed, or was told again.
    Lamp(Lamp),
    /// The lamp was lit or darkened, perhaps to call for somebody.
    Light(Lamp),
    /// The display shows something else.
    Drawn,
    /// A message for the person at the device came.
    Message {
        id: String,
        from: Option<String>,
        text: String,
    },
    /// What became of a message.
    MessageState { id: String, state: MessageState },
    /// A message of the person at the device is on its way.
    Sending { to: String, text: String },
    /// Somebody keyed this in Morse code.
    Heard { text: String, wpm: u8 },
    /// The broker accepted the connection.
    Connected(Version),
    /// The connection was lost or did not come about: why, and in more words.
    Lost { cause: Cause, words: String },
    /// A reading was published.
    Published { seq: u32, age_ms: u64 },
    /// The broker has a reading.
    Delivered { seq: u32 },
    /// A reading will not be delivered.
    GivenUp { seq: u32, why: GivenUp },
    /// A command came.
    Command { topic: String, command: LampCommand },
    /// A message came that is not obeyed.
    Ignored { topic: String, why: &'static str },
    /// The broker is asked at the latest after so many milliseconds from now on.
    Quiet { most_ms: u32 },
    /// The broker refused a subscription or a publication.
    Refused { topic: String, reason: ReasonCode },
    /// Something is not as it should be; the device goes on.
    Warning(String),
    /// The device was told to start again, and does.
    Restarting,
    /// The device has ended; so many readings were still to be delivered.
    Stopped { waiting: usize },
}

/// A device to be run.
#[derive(Clone, Debug)]
pub struct VirtualDevice {
    /// Its configuration; without an id it is [`default_id`]'s.
    pub config: Config,
    /// Where the broker is.
    pub broker: BrokerUrl,
    /// The authorities to trust, where the broker is reached by TLS; without it
    /// those that the operating system trusts.
    pub ca_file: Option<PathBuf>,
    /// Which sensor it has.
    pub sensor: Choice,
    /// Where it keeps its state; without it, it forgets.
    pub state: Option<PathBuf>,
    /// Its display.
    pub panel: Shared,
    /// Its button.
    pub button: Button,
    /// Makes its sensor and its jitter differ from another's.
    pub seed: u64,
    /// Bounds on waiting.
    pub timeouts: Timeouts,
    /// Waiting between attempts to connect.
    pub backoff: Backoff,
}

/// Why a virtual device cannot run. Printed, it says what to do.
#[derive(Debug)]
pub enum DeviceError {
    /// The id or the prefix is none.
    Name(InvalidName),
    /// The sensor's recording cannot be read.
    Sensor(RecordingError),
    /// The state cannot be kept.
    State(StateError),
    /// Nobody is there to trust.
    Tls(TlsError),
    /// The settings cannot work.
    Options(OptionsError),
    /// A topic cannot be subscribed to.
    Topic(SubscribeError),
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::Sensor(error) => error.fmt(f),
            Self::State(error) => error.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Options(error) => error.fmt(f),
            Self::Topic(error) => write!(f, "a command topic cannot be used: {error}"),
        }
    }
}

impl Error for DeviceError {}

/// The id of this machine's virtual device: `pc-` and the host's name.
pub fn default_id() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::env::var("HOSTNAME").or_else(|_| std::env::var("COMPUTERNAME")))
        .unwrap_or_default();
    let name: String = name
        .trim()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '-' {
                c
            } else {
                '-'
            }
        })
        .take(40)
        .collect();
    match name.as_str() {
        "" => "pc-device".to_owned(),
        name => format!("pc-{name}"),
    }
}

impl VirtualDevice {
    /// The longest time from the wish to stop to the end.
    pub const STOP_LIMIT: Duration = Duration::from_millis(Device::<0>::STOP_MS as u64 + 300);

    /// A device of this configuration at a broker, with a synthetic sensor and
    /// without memory.
    pub fn new(config: Config, broker: BrokerUrl) -> Self {
        let panel = Shared::new(Ssd1306::at(config.screen.address));
        Self {
            config,
            broker,
            ca_file: None,
            sensor: Choice::Synthetic,
            state: None,
            panel,
            button: Button::default(),
            seed: fastrand::u64(..),
            timeouts: Timeouts::default(),
            backoff: Backoff::default(),
        }
    }

    /// The device's id.
    pub fn id(&self) -> String {
        self.config.id.clone().unwrap_or_else(default_id)
    }

    /// Who to be at the broker: whom its URL names, else whom the configuration does. A password
    /// goes with the user it was given for.
    fn credentials(&self) -> (Option<&str>, Option<&Secret>) {
        let (url, config) = (&self.broker, &self.config.broker);
        let Some(username) = &url.username else {
            return (config.username.as_deref(), config.password.as_ref());
        };
        let theirs = config.username.as_ref().is_none_or(|user| user == username);
        let configured = config.password.as_ref().filter(|_| theirs);
        (Some(username), url.password.as_ref().or(configured))
    }

    /// The address that this machine has on the way to the broker; where a name has to be
    /// asked for first, on the way to anybody.
    fn own_address(&self) -> Ipv4Addr {
        // Nothing is sent: connecting only chooses the way.
        let towards = |host: &str| {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
            socket.connect((host.parse::<Ipv4Addr>().ok()?, 9)).ok()?;
            match socket.local_addr().ok()?.ip() {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            }
        };
        // TEST-NET-1 is nowhere.
        let way = towards(&self.broker.host).or_else(|| towards("192.0.2.1"));
        way.unwrap_or(Ipv4Addr::LOCALHOST)
    }

    /// Runs until `stop` is ready, then says `offline` and ends, within [`Self::STOP_LIMIT`].
    ///
    /// # Errors
    /// If it cannot begin. A broker that cannot be reached is no error: the
    /// device measures, obeys and tries again.
    pub async fn run(
        &self,
        mut report: impl FnMut(Report),
        stop: impl Future<Output = ()>,
    ) -> Result<(), DeviceError> {
        let id = self.id();
        let broker = &self.config.broker;
        let mut settings = Settings::new(&self.config.prefix, &id).map_err(DeviceError::Name)?;
        settings.readout_topic = self.config.readout.topic.as_deref();
        settings.command_topic = self.config.readout.command_topic.as_deref();
        settings.interval_ms = self.config.readout.interval_s.saturating_mul(1_000);
        settings.confirm = self.config.readout.confirm;
        settings.model = self.config.sensor;
        settings.version = env!("CARGO_PKG_VERSION");
        settings.versions = match broker.version {
            None => Versions::Any,
            Some(config::Version::V4) => Versions::Only(Version::V4),
            Some(config::Version::V5) => Versions::Only(Version::V5),
        };
        let (username, password) = self.credentials();
        settings.username = username;
        settings.password = password.map(|password| password.expose().as_bytes());
        settings.keep_alive_s = broker.keep_alive_s;
        settings.timeouts = self.timeouts;
        settings.backoff = self.backoff;
        let messages = &self.config.messages;
        let presets: Vec<&str> = messages.presets.iter().map(String::as_str).collect();
        settings.reply = messages.reply.as_deref();
        settings.presets = &presets;
        settings.peer = messages.peer.as_deref();
        settings.morse_key = self.config.morse.key;
        settings.morse_wpm = self.config.morse.wpm;

        let mut sensor = self.sensor.open(self.seed).map_err(DeviceError::Sensor)?;
        let mut keeps = Keeps::open(self.state.as_deref(), &mut report)?;
        let tls = match (self.broker.tls, &self.ca_file) {
            (false, _) => None,
            (true, Some(file)) => Some(Tls::from_ca_file(file).map_err(DeviceError::Tls)?),
            (true, None) => Some(Tls::system().map_err(DeviceError::Tls)?),
        };
        let clock = TokioClock::new();
        let mut stop = pin!(stop);
        let mut reset = None;
        loop {
            let life = Life {
                id: &id,
                settings,
                clock: clock.clone(),
                tls: tls.clone(),
                reset,
            };
            let stop = stop.as_mut();
            let end = self.live(life, &mut keeps, sensor.as_mut(), &mut report, stop);
            match end.await? {
                End::Stopped => return Ok(()),
                End::Restarts => {
                    report(Report::Restarting);
                    reset = Some(ResetReason::Software);
                }
            }
        }
    }

    /// Lives from a start to a restart, or to the end.
    async fn live<F: FnMut(Report)>(
        &self,
        life: Life<'_>,
        keeps: &mut Keeps,
        sensor: &mut (dyn PulseSource + Send),
        report: &mut F,
        stop: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<End, DeviceError> {
        let Life {
            id,
            settings,
            clock,
            tls,
            reset,
        } = life;
        let saved = keeps.readings.numbers(keeps.saved);
        let recalled = keeps.readings.recall(Moment::now());
        let post = keeps.post.clone();
        let boot = saved.boot.wrapping_add(1);
        let mut connector = TcpConnector::new(self.broker.host.as_str(), self.broker.port);
        if let Some(tls) = tls {
            connector = connector.with_tls(tls);
        }
        let now = clock.now();
        report(Report::Started {
            id: id.to_owned(),
            broker: self.broker.to_string(),
            boot,
        });
        let mut board = PcBoard {
            report,
            keeps,
            measure: false,
            restarts: false,
            reset,
            clock: clock.clone(),
            started: now,
        };
        let mut backlog = Box::new(Backlog::new());
        let mut mail = Box::new(Mail::new());
        let mut device: Device<'_> =
            Device::new(settings, saved, &mut backlog, &mut mail, now, &mut board);
        (board.report)(Report::Lamp(device.lamp()));
        for reading in recalled {
            device.recall(reading);
        }
        for (letter, mark) in post.letters.into_values() {
            device.recall_letter(letter, mark);
        }
        for note in post.notes.into_values() {
            device.recall_note(note);
        }
        for outgoing in post.outgoing.into_values() {
            device.recall_outgoing(outgoing);
        }
        let mut memory = Box::new(Memory::new());
        // Each start has another chance, also where it is to be repeatable.
        let seed = self
            .seed
            .wrapping_add(u64::from(reset.is_some()) * u64::from(boot));
        let mut session = memory
            .session(&settings, seed, now)
            .map_err(DeviceError::Options)?;
        device.subscribe(&mut session).map_err(DeviceError::Topic)?;
        let mut segment = [0; SEGMENT];
        let mut link = Link::new(session, connector, clock).gather(&mut segment);
        let rotation = match self.config.screen.rotated {
            true => Rotation::Half,
            false => Rotation::Upright,
        };
        let frame = RefCell::new(Frame::new());
        let mut display = Display {
            screen: Screen::new(&frame),
            frame: &frame,
            panel: Panel::new(self.panel.clone(), self.config.screen.address, rotation),
            draw_at: now,
            step_at: now,
            facts: Facts {
                broker: &self.broker.host,
                address: Some(self.own_address()),
                ..Facts::default()
            },
        };
        let button = &self.button;
        let end = run(
            &mut device,
            &mut link,
            &mut board,
            sensor,
            &mut display,
            button,
            stop,
        )
        .await;
        if end == End::Stopped {
            let waiting = device.backlog();
            (board.report)(Report::Stopped { waiting });
        }
        Ok(end)
    }
}

/// What a device starts with, as often as it does.
struct Life<'l> {
    id: &'l str,
    settings: Settings<'l>,
    clock: TokioClock,
    tls: Option<Tls>,
    reset: Option<ResetReason>,
}

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Stopped,
    Restarts,
}

/// What outlives a restart: in memory where there is no folder for it.
struct Keeps {
    state: Option<StateDir>,
    saved: Saved,
    post: Post,
    readings: Readings,
    /// What could not be kept the last time, of state and readings. It is said once.
    failed: [bool; 2],
}

/// Which part of the state: a place in [`Keeps::failed`].
const STATE: usize = 0;
const READINGS: usize = 1;

impl Keeps {
    fn open(folder: Option<&Path>, report: &mut impl FnMut(Report)) -> Result<Self, DeviceError> {
        let mut keeps = Self {
            state: None,
            saved: Saved::default(),
            post: Post::default(),
            readings: Readings::new(),
            failed: [false; 2],
        };
        let state = match folder.map(StateDir::open).transpose() {
            // The next save would fail as well, and that is no reason to stop.
            Err(StateError::Io(path, error)) if is_full(&error) => {
                report(Report::Warning(format!(
                    "the state in {} cannot be kept: {error}; a restart would forget lamp, \
                     messages and readings",
                    path.display()
                )));
                None
            }
            state => state.map_err(DeviceError::State)?,
        };
        let Some(state) = state else {
            return Ok(keeps);
        };
        let (saved, of_saved) = state.load().map_err(DeviceError::State)?;
        let (post, of_post) = state.load_post().map_err(DeviceError::State)?;
        let (readings, of_readings) = Readings::load(&state).map_err(DeviceError::State)?;
        for warning in [of_saved, of_post, of_readings].into_iter().flatten() {
            report(Report::Warning(warning));
        }
        keeps.state = Some(state);
        keeps.saved = saved;
        keeps.post = post;
        keeps.readings = readings;
        Ok(keeps)
    }
}

/// Whether there is no room, as opposed to no right.
fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

async fn run<F: FnMut(Report)>(
    device: &mut Device<'_>,
    link: &mut Link<'_, TcpConnector, TokioClock>,
    board: &mut PcBoard<'_, F>,
    sensor: &mut (dyn PulseSource + Send),
    display: &mut Display<'_>,
    button: &Button,
    mut stop: Pin<&mut impl Future<Output = ()>>,
) -> End {
    let mut stopping = false;
    // A broker that takes no more bytes does not take DISCONNECT either.
    let mut stopped_at_last = pin!(sleep(VirtualDevice::STOP_LIMIT));
    let clock = link.clock().clone();
    loop {
        let (session, now) = link.parts();
        let mut deadline = device.run(session, now, board);
        if std::mem::take(&mut board.measure) {
            let pulses: &[Pulse] = sensor.measure(now.as_millis());
            device.measured(pulses, now, board);
            deadline = device.run(session, now, board);
        }
        match stopping {
            // It was told to restart, and stopped for that; what it wrote is under way.
            false if board.restarts => return End::Restarts,
            true if session.is_stopped() => return End::Stopped,
            _ => {}
        }
        deadline = deadline.min(display.show(device, now, board));
        let wait = Duration::from_millis(deadline.since(now));
        tokio::select! {
            () = &mut stop, if !stopping => {
                stopping = true;
                let until = tokio::time::Instant::now() + VirtualDevice::STOP_LIMIT;
                stopped_at_last.as_mut().reset(until);
                device.stop(link.now());
            }
            event = link.next() => {
                let reaction = device.event(&event, clock.now(), board);
                if let aldis_mqtt::Event::Disconnected { cause, .. } = event {
                    let words = match cause {
                        Cause::Network(Network::Closed | Network::Reset) => None,
                        Cause::Network(_) => link.connector().last_failure(),
                        _ => None,
                    };
                    let words = match words {
                        Some(words) => format!("{cause} ({words})"),
                        None => cause.to_string(),
                    };
                    (board.report)(Report::Lost { cause, words });
                }
                let (session, _) = link.parts();
                device.react(reaction, session, board);
            }
            pressed = button.next() => device.button(pressed, link.now()),
            () = &mut stopped_at_last, if stopping => return End::Stopped,
            () = sleep(wait) => {}
        }
    }
}

/// The display of a virtual device.
struct Display<'d> {
    screen: Screen<'d>,
    frame: &'d RefCell<Frame>,
    panel: Panel<Shared>,
    draw_at: Instant,
    /// When the panel is looked after again.
    step_at: Instant,
    facts: Facts<'d>,
}

impl Display<'_> {
    /// Draws what is to be seen, if that is another, and brings it to the panel. Says
    /// when to come again.
    fn show<F: FnMut(Report)>(
        &mut self,
        device: &mut Device<'_>,
        now: Instant,
        board: &mut PcBoard<'_, F>,
    ) -> Instant {
        if device.has_changed() || self.draw_at <= now {
            self.draw_at = self.screen.draw(&device.view(&self.facts, now), now);
            self.step_at = self.step_at.min(now);
        }
        let mut drawn = false;
        while self.step_at <= now {
            // The panel of a PC answers at once.
            self.step_at = match poll_once(self.panel.step(self.frame, now)) {
                Poll::Ready(Ok(Step::Sent)) => {
                    drawn = true;
                    continue;
                }
                Poll::Ready(Ok(Step::Idle(until))) => {
                    device.drawn(now);
                    until
                }
                Poll::Ready(Err(_)) | Poll::Pending => now.after(Panel::<Shared>::RETRY_MS),
            };
        }
        if drawn {
            (board.report)(Report::Drawn);
        }
        self.draw_at.min(self.step_at)
    }
}

/// The board of a virtual device.
struct PcBoard<'k, F> {
    report: &'k mut F,
    keeps: &'k mut Keeps,
    measure: bool,
    /// It is to restart.
    restarts: bool,
    /// Why it started, if it did so by itself.
    reset: Option<ResetReason>,
    clock: TokioClock,
    started: Instant,
}

impl<F: FnMut(Report)> PcBoard<'_, F> {
    /// Says once that something could not be kept. Says whether it was.
    fn stored(&mut self, part: usize, stored: Result<(), io::Error>) -> bool {
        let known = self.keeps.failed.contains(&true);
        self.keeps.failed[part] = stored.is_err();
        if let Err(error) = &stored
            && !known
        {
            (self.report)(Report::Warning(format!(
                "lamp, messages and readings cannot be kept: {error}; a restart would forget what \
                 is new of them"
            )));
        }
        stored.is_ok()
    }

    /// Keeps a reading, or that some are done.
    fn log(&mut self, kept: &Kept) {
        let uptime_ms = self.clock.now().since(self.started);
        let at = Moment::now().before(uptime_ms.saturating_sub(kept.uptime_ms));
        let keeps = &mut *self.keeps;
        let (state, life) = (keeps.state.as_ref(), keeps.saved.life);
        let stored = keeps.readings.append(state, kept, life, at);
        self.stored(READINGS, stored);
    }

    fn save_post(&mut self) -> bool {
        let Some(state) = &self.keeps.state else {
            return false;
        };
        let stored = state.save_post(&self.keeps.post);
        self.stored(STATE, stored)
    }
}

impl<F: FnMut(Report)> Board for PcBoard<'_, F> {
    fn measure(&mut self) {
        self.measure = true;
    }

    fn light(&mut self, lamp: Lamp) {
        (self.report)(Report::Light(lamp));
    }

    fn save(&mut self, saved: &Saved) {
        self.keeps.saved = *saved;
        if let Some(state) = &self.keeps.state {
            let stored = state.save(saved);
            self.stored(STATE, stored);
        }
    }

    fn keep(&mut self, kept: &Kept, saved: &Saved) {
        // Before its number is saved: a kill between the two would leave a number that
        // nobody gets.
        self.log(kept);
        self.save(saved);
    }

    fn done(&mut self, kept: &Kept) {
        self.log(kept);
    }

    fn restart(&mut self) {
        self.restarts = true;
    }

    fn keep_letter(&mut self, letter: &Letter) {
        let letters = &mut self.keeps.post.letters;
        letters.insert(letter.number, (letter.clone(), None));
        while letters.len() > Mail::PLACES {
            letters.pop_first();
        }
        self.save_post();
    }

    fn mark_letter(&mut self, mark: &Mark) {
        if let Some((_, known)) = self.keeps.post.letters.get_mut(&mark.number) {
            *known = Some(*mark);
            self.save_post();
        }
    }

    fn keep_note(&mut self, note: &Note) -> bool {
        self.keeps.post.notes.insert(note.number, note.clone());
        self.save_post()
    }

    fn forget_note(&mut self, number: u32) {
        self.keeps.post.notes.remove(&number);
        self.save_post();
    }

    fn keep_outgoing(&mut self, outgoing: &Outgoing) {
        let kept = outgoing.clone();
        self.keeps.post.outgoing.insert(outgoing.number, kept);
        self.save_post();
    }

    fn forget_outgoing(&mut self, number: u32) {
        self.keeps.post.outgoing.remove(&number);
        self.save_post();
    }

    fn vitals(&mut self) -> Vitals {
        Vitals {
            reset: self.reset,
            ..Vitals::default()
        }
    }

    fn notice(&mut self, notice: Notice<'_>) {
        (self.report)(match notice {
            Notice::Reading(reading) => Report::Reading(reading),
            Notice::Sensor(state) => Report::Sensor(state),
            Notice::Connected(version) => Report::Connected(version),
            Notice::Published { seq, age_ms } => Report::Published { seq, age_ms },
            Notice::Delivered { seq } => Report::Delivered { seq },
            Notice::GivenUp { seq, why } => Report::GivenUp { seq, why },
            Notice::Command { topic, command } => Report::Command {
                topic: topic.to_owned(),
                command,
            },
            Notice::Ignored { topic, why } => Report::Ignored {
                topic: topic.to_owned(),
                why,
            },
            Notice::Quiet { most_ms } => Report::Quiet { most_ms },
            Notice::Refused { topic, reason } => Report::Refused {
                topic: topic.to_owned(),
                reason,
            },
            Notice::Lamp(lamp) => Report::Lamp(lamp),
            Notice::Message { id, from, text } => Report::Message {
                id: id.to_owned(),
                from: from.map(str::to_owned),
                text: text.to_owned(),
            },
            Notice::MessageState { id, state } => Report::MessageState {
                id: id.to_owned(),
                state,
            },
            Notice::Sending { to, text } => Report::Sending {
                to: to.to_owned(),
                text: text.to_owned(),
            },
            Notice::Heard { text, wpm } => Report::Heard {
                text: text.to_owned(),
                wpm,
            },
            // The loss is reported with the words of the connection, a restart when it begins.
            Notice::Lost(_) | Notice::Restart { .. } => return,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(url: &str, username: Option<&str>, password: Option<&str>) -> VirtualDevice {
        let mut config = Config::default();
        config.broker.username = username.map(str::to_owned);
        config.broker.password = password.map(Secret::new);
        VirtualDevice::new(config, url.parse().unwrap())
    }

    /// One user's password would be sent with another's name.
    #[test]
    fn a_password_goes_with_its_user() {
        for (url, username, password, expected) in [
            ("mqtt://h", None, None, (None, None)),
            ("mqtt://h", Some("a"), Some("1"), (Some("a"), Some("1"))),
            ("mqtt://b:2@h", Some("a"), Some("1"), (Some("b"), Some("2"))),
            ("mqtt://b@h", Some("a"), Some("1"), (Some("b"), None)),
            ("mqtt://a@h", Some("a"), Some("1"), (Some("a"), Some("1"))),
            ("mqtt://b@h", None, Some("1"), (Some("b"), Some("1"))),
        ] {
            let device = device(url, username, password);
            let (username, password) = device.credentials();
            assert_eq!((username, password.map(Secret::expose)), expected, "{url}");
        }
    }
}

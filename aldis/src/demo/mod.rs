//! `aldis demo`: a hub and a virtual device in one process, with a live readout.

mod commands;
mod model;
#[cfg(test)]
mod picture;
mod view;
mod watch;

use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aldis_hub::{Hub, HubConfig, HubError, Keyring, Keys, OwnerPassword, RunningHub};
use aldis_pc::config::Messages;
use aldis_pc::{BrokerUrl, Config, Report, Secret, VirtualDevice, default_id};
use aldis_protocol::topic::MAX_LEN;
use aldis_protocol::{Topic, Topics};
use serde_json::json;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::{mpsc, oneshot};

use self::model::Model;
use self::watch::{Seen, Watcher};
use crate::device::colour_or_plain;
use crate::fingers::Fingers;
use crate::lines::Lines;
use crate::panel::Sight;
use crate::printable::{printable, readable};
use crate::signals::EndSignals;
use crate::terminal::{self, Looks, Notes, Screen, Wish, can_draw, lock};
use crate::words::{Style, Words};
use crate::{duration, hub, logging};

/// The port that every MQTT program tries first.
const PORT: u16 = 1883;
/// The device to which the demo's sends its presets.
const PEER: &str = "demo-peer";

/// Run a hub and a virtual device together, and watch them
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    aldis demo\n  \
    aldis demo --listen 0.0.0.0:1883   (other machines can connect too, with a password)\n  \
    aldis demo --for 1m | cat\n\n\
    In the readout, l or the space bar switches the lamp, and q ends the demo. Keys stand for the \
    device's button: b is a short press (reads the message, turns the page), r a long one \
    (replies), p a double one (the presets). s shows the device's screen where there is no room \
    for all. Where standard output is not a terminal, there are plain lines instead.")]
pub struct Args {
    /// Where the hub speaks MQTT [default: 127.0.0.1:1883, or another port if that is taken]
    #[arg(long, value_name = "ADDR", env = "ALDIS_DEMO_LISTEN")]
    listen: Option<String>,
    /// End after this time: 30s, 5m, 2h, 30d
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    lifetime: Option<Duration>,
    /// Print one JSON object a line instead of the readout
    #[arg(long)]
    json: bool,
    /// Say more in the log; -vv and -vvv say even more
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// Runs the demo until a key, a signal or the end of its time.
pub fn run(args: Args) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return crate::fail(format_args!("cannot start: {error}")),
    };
    let ended = runtime.block_on(serve(&args));
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => crate::fail(what),
    }
}

/// A hub, and the password that its owner needs from elsewhere.
type Owned = (RunningHub, Option<OwnerPassword>);

/// Starts the hub where the user wants it, or on the usual port if that is free.
async fn start_hub(listen: Option<&str>) -> Result<Owned, String> {
    let on = |listen| HubConfig {
        listen,
        ..HubConfig::ephemeral()
    };
    let started = match listen.filter(|listen| !listen.is_empty()) {
        Some(listen) => {
            let listen = hub::address("--listen", listen, PORT, false)?;
            if !listen.ip().is_loopback() {
                return start_open(on(listen)).await;
            }
            Hub::start(on(listen)).await
        }
        None => {
            let local = |port| on(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
            match Hub::start(local(PORT)).await {
                Err(HubError::PortTaken { .. }) => Hub::start(local(0)).await,
                started => started,
            }
        }
    };
    let hub = started.map_err(|error| error.to_string())?;
    Ok((hub, None))
}

/// Starts one that others reach. They need a password, which is this demo's alone.
async fn start_open(config: HubConfig) -> Result<Owned, String> {
    let password = OwnerPassword::generate();
    let owner = password.hash().map_err(|error| error.to_string())?;
    let keys = Keyring::in_memory(Keys {
        owner: Some(owner),
        ..Keys::default()
    });
    let config = HubConfig {
        keys: Some(keys),
        ..config
    };
    let hub = Hub::start(config)
        .await
        .map_err(|error| error.to_string())?;
    Ok((hub, Some(password)))
}

async fn serve(args: &Args) -> Result<(), String> {
    let draws = !args.json && can_draw();
    let start = Instant::now();
    let model = Arc::new(Mutex::new(Model::default()));
    if draws && io::stderr().is_terminal() {
        // Lines on standard error would run through the picture.
        let model = model.clone();
        logging::start_in(args.verbose, false, move || {
            let model = model.clone();
            Notes(move |note| lock(&model).note(start.elapsed(), note))
        });
    } else {
        logging::start(args.verbose);
    }
    let end = EndSignals::listen().map_err(|error| format!("cannot start: {error}"))?;
    let (hub, owner) = start_hub(args.listen.as_deref()).await?;
    let over = async {
        tokio::select! {
            () = end.wait() => {}
            () = duration::over(args.lifetime) => {}
        }
    };
    let scene = Scene::new(&hub, owner.as_ref().map(OwnerPassword::expose));
    let ended = match draws {
        true => scene.on_screen(model, start, over).await,
        false => scene.in_lines(args, over).await,
    };
    hub.shutdown().await;
    ended
}

/// Where the programs of this machine reach the hub.
fn reachable(hub: &RunningHub) -> SocketAddr {
    let mut addr = hub.mqtt_addr();
    if addr.ip().is_unspecified() {
        addr.set_ip(match addr {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    addr
}

/// Who is there: a device, a client that watches, and those who are invited.
struct Scene {
    device: VirtualDevice,
    watcher: Watcher,
    /// Where others reach the hub.
    address: SocketAddr,
    /// What they can type.
    commands: Vec<String>,
}

impl Scene {
    fn new(hub: &RunningHub, owner: Option<&str>) -> Self {
        let local = reachable(hub);
        let (username, password) = hub.inner();
        let password = Secret::new(password);
        let id = default_id();
        let config = Config {
            id: Some(id.clone()),
            messages: messages(),
            ..Config::default()
        };
        let mut name = [0; MAX_LEN];
        let lamp_topic = Topics::new(&config.prefix, &id)
            .ok()
            .and_then(|topics| topics.write(Topic::LedSet, &mut name).ok())
            .unwrap_or_default()
            .to_owned();
        let broker = BrokerUrl {
            tls: false,
            host: local.ip().to_string(),
            port: local.port(),
            username: Some(username.clone()),
            password: Some(password.clone()),
        };
        let address = match hub.mqtt_addr().ip().is_unspecified() {
            true => hub::own_address().unwrap_or(local.ip()),
            false => local.ip(),
        };
        let address = SocketAddr::new(address, local.port());
        Self {
            device: VirtualDevice::new(config, broker),
            watcher: Watcher {
                hub: local,
                client_id: format!("aldis-demo-{}", std::process::id()),
                username,
                password,
                lamp_topic,
                seed: fastrand::u64(..),
            },
            address,
            commands: commands::commands(address, owner, &id, PEER),
        }
    }

    /// Shows the model on the terminal.
    async fn on_screen(
        &self,
        model: Arc<Mutex<Model>>,
        start: Instant,
        over: impl Future<Output = ()>,
    ) -> Result<(), String> {
        {
            let mut model = lock(&model);
            model.hub = self.address.to_string();
            model.device = self.device.id();
            model.commands.clone_from(&self.commands);
        }
        let (wishes, wished) = mpsc::unbounded_channel();
        let (looks, shown) = (Looks::here(), model.clone());
        let draw = move |frame: &mut ratatui::Frame<'_>| {
            let mut picture = lock(&shown).clone();
            picture.now = start.elapsed();
            view::draw(frame, &picture, looks);
        };
        let screen = Screen::start(draw, keys, wishes)
            .map_err(|error| format!("cannot draw on the terminal: {error}"))?;
        let wake = screen.wake();
        let report = |report| {
            let mut model = lock(&model);
            if report == Report::Drawn {
                model.sight = Sight::of(&self.device.panel.lock(), false);
            }
            model.report(start.elapsed(), &report);
            drop(model);
            wake();
        };
        let other_view = || {
            let mut model = lock(&model);
            model.prefers_panel = !model.prefers_panel;
            drop(model);
            wake();
        };
        let seen = |seen: Seen<'_>| {
            let at = start.elapsed();
            let mut model = lock(&model);
            match seen {
                Seen::Message(message) => {
                    model.message(at, message.topic.as_str(), message.payload, message.retain);
                }
                Seen::Oversized { topic, size } => {
                    model.note(at, format!("a message of {size} bytes on {topic}"));
                }
            }
            drop(model);
            wake();
        };
        let ended = self.play(report, seen, wished, other_view, over).await;
        screen.end();
        ended
    }

    /// Prints a line for each change and each message.
    async fn in_lines(&self, args: &Args, over: impl Future<Output = ()>) -> Result<(), String> {
        let lines = Lines::new().map_err(|error| format!("cannot start: {error}"))?;
        let style = match args.json {
            true => Style::Json,
            false => colour_or_plain(),
        };
        let address = self.address.to_string();
        if args.json {
            let event = json!({"event": "listening", "mqtt": address, "commands": self.commands});
            lines.write(event.to_string());
        } else {
            lines.write(format!("hub: MQTT 3.1.1 and 5 on {address}"));
            lines.write("In another terminal:".to_owned());
            for command in &self.commands {
                lines.write(format!("  {command}"));
            }
        }
        let words = RefCell::new(Words::new(style, args.verbose > 0, address, false));
        let report = |report| {
            if let Some(line) = words.borrow_mut().line(&report, Instant::now()) {
                lines.write(line);
            }
        };
        let seen = |seen: Seen<'_>| {
            let (topic, payload) = match seen {
                Seen::Message(message) => (message.topic.as_str(), readable(message.payload)),
                Seen::Oversized { topic, size } => (topic, format!("({size} bytes)")),
            };
            lines.write(words.borrow().message(&printable(topic), &payload));
        };
        let closed = lines.closed();
        let over = async {
            tokio::select! {
                () = over => {}
                () = closed => {}
            }
        };
        let (_, no_wishes) = mpsc::unbounded_channel();
        let ended = self.play(report, seen, no_wishes, || {}, over).await;
        lines.finish();
        ended
    }

    /// Lets the device and the client run until the end is wished, and then the device say so.
    async fn play(
        &self,
        report: impl FnMut(Report),
        seen: impl FnMut(Seen<'_>),
        mut wishes: UnboundedReceiver<Wish>,
        other_view: impl Fn(),
        over: impl Future<Output = ()>,
    ) -> Result<(), String> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (toggle, toggles) = mpsc::unbounded_channel();
        let stopped = async {
            let _ = stopped.await;
        };
        let fingers = Fingers::on(self.device.button.clone());
        let mut device = pin!(self.device.run(report, stopped));
        let mut watcher = pin!(self.watcher.run(seen, toggles));
        let mut over = pin!(over);
        let mut broken = false;
        loop {
            tokio::select! {
                ended = &mut device => return ended.map_err(|error| error.to_string()),
                ended = &mut watcher => match ended {
                    Err(error) => return Err(error.to_string()),
                },
                Some(wish) = wishes.recv() => match wish {
                    // The client lives as long as this loop.
                    Wish::Toggle => drop(toggle.send(())),
                    Wish::View => other_view(),
                    Wish::Button(gesture) => fingers.make(gesture),
                    Wish::Quit | Wish::Gone => break,
                    Wish::Broken => {
                        broken = true;
                        break;
                    }
                },
                () = &mut over => break,
            }
        }
        let _ = stop.send(());
        // The client still sees the device's last message.
        tokio::select! {
            ended = device => ended.map_err(|error| error.to_string())?,
            ended = watcher => match ended {
                Err(error) => return Err(error.to_string()),
            },
        }
        match broken {
            true => Err("the readout has a fault; `aldis demo | cat` does without it".to_owned()),
            false => Ok(()),
        }
    }
}

/// The keys of the readout, besides those that all pictures have.
fn keys(key: char) -> Option<Wish> {
    match key {
        ' ' | 'l' => Some(Wish::Toggle),
        's' => Some(Wish::View),
        _ => terminal::button(key),
    }
}

/// What the demo's device has to say, and to whom: to the device that can be started beside it.
fn messages() -> Messages {
    Messages {
        reply: Some("Coming".into()),
        presets: ["Dinner is ready", "Call me, please", "Good night"]
            .map(str::to_owned)
            .into(),
        peer: Some(PEER.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingers::Gesture;

    /// A key that the readout names does nothing, or something else.
    #[test]
    fn keys_do_what_the_readout_says() {
        for (key, wish) in [
            (' ', Wish::Toggle),
            ('l', Wish::Toggle),
            ('s', Wish::View),
            ('b', Wish::Button(Gesture::Short)),
            ('r', Wish::Button(Gesture::Long)),
            ('p', Wish::Button(Gesture::Double)),
        ] {
            assert_eq!(keys(key), Some(wish), "{key}");
        }
        assert_eq!(keys('x'), None);
    }

    /// A text that no device could send, or a name that none can have.
    #[test]
    fn what_is_configured_can_be_sent() {
        let messages = messages();
        aldis_protocol::topic::check_id(PEER).unwrap();
        for text in messages.presets.iter().chain(&messages.reply) {
            let message = aldis_protocol::Message {
                text,
                ..aldis_protocol::Message::default()
            };
            message.check().unwrap();
        }
    }
}

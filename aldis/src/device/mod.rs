//! `aldis device`: a device that runs on this machine.

mod screen;
mod screenshot;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aldis_pc::sensor::Choice;
use aldis_pc::{BrokerUrl, Config, Report, Secret, VirtualDevice, default_id};
use aldis_protocol::topic;
use tokio::sync::{Notify, mpsc, oneshot};

use self::screen::Model;
use self::screenshot::Screenshots;
use crate::fingers::Fingers;
use crate::lines::Lines;
use crate::panel::Sight;
use crate::signals::EndSignals;
use crate::terminal::{self, Looks, Notes, Screen, Wish, can_draw, lock};
use crate::words::{Style, Words};
use crate::{duration, logging};

/// Where the broker is, unless said otherwise.
const BROKER: &str = "mqtt://127.0.0.1:1883";
/// Where pictures are lines of an output, they follow each other no faster.
const PICTURE: Duration = Duration::from_secs(1);

/// Run a virtual device: it measures, publishes and obeys like one on a chip
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  \
    aldis device\n  \
    aldis device --id kitchen --broker mqtt://192.168.1.107 -v\n  \
    aldis device --config device.toml --sensor recording.csv\n  \
    aldis device --screen\n  \
    aldis device --screenshot panel.png\n\n\
    With `--screen` on a terminal, keys stand for the button: b is a short press (reads the \
    message, turns the page), r a long one (replies), p a double one (the presets); q ends it. \
    Where the button is a Morse key (`[morse]` in the configuration), . and - key, and the space \
    bar and / are the pauses after a letter and a word. Where standard output is no terminal, \
    the panel is printed when it has changed, once a second at most.\n\n\
    The password is in the configuration file, in ALDIS_PASSWORD, or in a file \
    (`--password-file`).")]
pub struct Args {
    /// The device's id [default: pc- and this machine's name]
    #[arg(long, value_name = "ID", env = "ALDIS_ID")]
    id: Option<String>,
    #[arg(
        long,
        value_name = "URL",
        env = "ALDIS_BROKER",
        hide_env_values = true,
        help = "The broker: mqtt[s]://[user[:password]@]host[:port] \
                [default: mqtt://127.0.0.1:1883]"
    )]
    broker: Option<String>,
    /// The configuration file, as for a device on a chip
    #[arg(long, value_name = "FILE", env = "ALDIS_CONFIG")]
    config: Option<PathBuf>,
    /// Where to keep lamp, counts, messages and readings [default: aldis/ID in the user's state directory]
    #[arg(long, value_name = "DIR", env = "ALDIS_STATE")]
    state: Option<PathBuf>,
    /// The sensor: synthetic, none, or a recording that is played in a loop
    #[arg(
        long,
        value_name = "synthetic|none|FILE.csv",
        env = "ALDIS_SENSOR",
        default_value = "synthetic"
    )]
    sensor: String,
    /// The user name at the broker
    #[arg(long, value_name = "NAME", env = "ALDIS_USERNAME")]
    username: Option<String>,
    /// A file whose first line is the password at the broker
    #[arg(long, value_name = "FILE", env = "ALDIS_PASSWORD_FILE")]
    password_file: Option<PathBuf>,
    /// Trust the certificate authorities in this PEM file, no others (mqtts://)
    #[arg(long, value_name = "FILE", env = "ALDIS_CAFILE")]
    cafile: Option<PathBuf>,
    /// End after this time: 30s, 5m, 2h, 30d
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    lifetime: Option<Duration>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    /// Show the device's panel on the terminal, and below it what the device reports
    #[arg(long, conflicts_with = "json")]
    screen: bool,
    /// Save the panel as PNG each time it changes, and at the end
    #[arg(long, value_name = "FILE")]
    screenshot: Option<PathBuf>,
    /// Make chance repeatable: the synthetic climate and the waiting between attempts
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Print readings, commands and every attempt to connect as well; -vv and more: the log
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// Runs the device until a key, a signal or the end of its time.
pub fn run(args: Args) -> ExitCode {
    let device = match configure(&args) {
        Ok(device) => device,
        Err(what) => return crate::fail(what),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return crate::fail(format_args!("cannot start: {error}")),
    };
    let ended = runtime.block_on(serve(&args, &device));
    // A name that is being resolved is not waited for.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => crate::fail(what),
    }
}

async fn serve(args: &Args, device: &VirtualDevice) -> Result<(), String> {
    let draws = args.screen && can_draw();
    let model = Arc::new(Mutex::new(Model {
        morse: device.config.morse.key,
        ..Model::default()
    }));
    let verbosity = args.verbose.saturating_sub(1);
    if draws && io::stderr().is_terminal() {
        let model = model.clone();
        logging::start_in(verbosity, false, move || {
            let model = model.clone();
            Notes(move |note: String| lock(&model).line(&note))
        });
    } else {
        logging::start(verbosity);
    }
    let end = EndSignals::listen().map_err(|error| format!("cannot start: {error}"))?;
    let lifetime = args.lifetime;
    let over = async move {
        tokio::select! {
            () = end.wait() => {}
            () = duration::over(lifetime) => {}
        }
    };
    let rotated = device.config.screen.rotated;
    let screenshots = match &args.screenshot {
        Some(file) => {
            let panel = device.panel.clone();
            Some(Screenshots::start(panel, rotated, file.clone())?)
        }
        None => None,
    };
    let shown = Shown {
        device,
        verbose: args.verbose > 0,
        drawn: &|| {
            if let Some(screenshots) = &screenshots {
                screenshots.wake();
            }
        },
    };
    let ended = match draws {
        true => shown.on_screen(model, over).await,
        false => shown.in_lines(args, over).await,
    };
    let saved = screenshots.map_or(Ok(()), Screenshots::finish);
    ended.and(saved)
}

/// A device, and who looks at it.
struct Shown<'a> {
    device: &'a VirtualDevice,
    verbose: bool,
    /// Who wants to know that the panel may have changed.
    drawn: &'a dyn Fn(),
}

impl Shown<'_> {
    fn words(&self, style: Style) -> Words {
        let has_user = self.device.config.broker.username.is_some();
        let broker = host_and_port(&self.device.broker);
        Words::new(style, self.verbose, broker, has_user)
    }

    fn sight(&self) -> Sight {
        Sight::of(&self.device.panel.lock(), self.device.config.screen.rotated)
    }

    /// Prints a line for each change, and the panel if it is wanted.
    async fn in_lines(&self, args: &Args, over: impl Future<Output = ()>) -> Result<(), String> {
        let lines = Lines::new().map_err(|error| format!("cannot start: {error}"))?;
        let mut words = self.words(match args.json {
            true => Style::Json,
            false => colour_or_plain(),
        });
        let changed = Notify::new();
        let report = |report| {
            if report == Report::Drawn {
                (self.drawn)();
                changed.notify_one();
            }
            if let Some(line) = words.line(&report, Instant::now()) {
                lines.write(line);
            }
        };
        let printing = async {
            let mut printed = Sight::default();
            loop {
                changed.notified().await;
                let sight = self.sight();
                if args.screen && sight.picture != printed.picture {
                    lines.write(framed(&sight));
                    printed = sight;
                    tokio::time::sleep(PICTURE).await;
                }
            }
        };
        let ended = tokio::select! {
            ended = self.device.run(report, over) => ended.map_err(|error| error.to_string()),
            () = printing => Ok(()),
        };
        lines.finish();
        ended
    }

    /// Shows the panel on the terminal.
    async fn on_screen(
        &self,
        model: Arc<Mutex<Model>>,
        over: impl Future<Output = ()>,
    ) -> Result<(), String> {
        let keys = match self.device.config.morse.key {
            true => screen::morse_key,
            false => terminal::button,
        };
        let (wishes, mut wished) = mpsc::unbounded_channel();
        let (looks, shown) = (Looks::here(), model.clone());
        let draw = move |frame: &mut ratatui::Frame<'_>| {
            let model = lock(&shown).clone();
            screen::draw(frame, &model, looks);
        };
        let screen = Screen::start(draw, keys, wishes)
            .map_err(|error| format!("cannot draw on the terminal: {error}"))?;
        let wake = screen.wake();
        let mut words = self.words(Style::Plain);
        let mut last = None;
        let report = |report| {
            if report == Report::Drawn {
                lock(&model).sight = self.sight();
                (self.drawn)();
            }
            if let Some(line) = words.line(&report, Instant::now()) {
                lock(&model).line(&line);
                last = Some(line);
            }
            wake();
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let mut stop = Some(stop);
        let stopped = async {
            let _ = stopped.await;
        };
        let fingers = Fingers::on(self.device.button.clone());
        let mut broken = false;
        let ended = {
            let mut over = pin!(over);
            let mut device = pin!(self.device.run(report, stopped));
            loop {
                tokio::select! {
                    ended = &mut device => break ended.map_err(|error| error.to_string()),
                    Some(wish) = wished.recv() => match wish {
                        Wish::Button(gesture) => fingers.make(gesture),
                        Wish::Quit | Wish::Gone => drop(stop.take()),
                        Wish::Broken => {
                            broken = true;
                            drop(stop.take());
                        }
                        Wish::Toggle | Wish::View => {}
                    },
                    () = &mut over, if stop.is_some() => drop(stop.take()),
                }
            }
        };
        screen.end();
        ended?;
        if broken {
            return Err("the picture has a fault; `aldis device` does without it".to_owned());
        }
        // What is on the screen has gone with it.
        if let (Some(last), Ok(lines)) = (last, Lines::new()) {
            lines.write(last);
            lines.finish();
        }
        Ok(())
    }
}

/// The panel as lines of text, with a frame.
fn framed(sight: &Sight) -> String {
    let lines = sight.picture.half_blocks();
    let rule = "─".repeat(lines.first().map_or(0, |line| line.chars().count()));
    let mut text = format!("┌{rule}┐\n");
    for line in lines {
        text.push_str(&format!("│{line}│\n"));
    }
    text.push_str(&format!("└{rule}┘"));
    text
}

/// Colour on a terminal, unless the user does not want any.
pub fn colour_or_plain() -> Style {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match io::stdout().is_terminal() && !unwanted {
        true => Style::Colour,
        false => Style::Plain,
    }
}

/// `host:port`, with the brackets of an IPv6 address.
fn host_and_port(broker: &BrokerUrl) -> String {
    let (host, port) = (&broker.host, broker.port);
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// A variable of the environment, unless it is empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Brings together flags, variables and the file, in this order.
fn configure(args: &Args) -> Result<VirtualDevice, String> {
    let mut config = match &args.config {
        Some(path) => {
            let read = Config::read_with(path, |_| Vec::new());
            let (config, warnings) = read.map_err(|errors| errors.to_string())?;
            for warning in warnings {
                // Standard error may be gone.
                let _ = writeln!(io::stderr(), "aldis: warning: {warning}");
            }
            config
        }
        None => Config::default(),
    };
    if let Some(id) = args.id.clone().filter(|id| !id.is_empty()) {
        topic::check_id(&id).map_err(|error| format!("the id `{id}` cannot be used: {error}"))?;
        config.id = Some(id);
    }
    let id = config.id.get_or_insert_with(default_id).clone();
    if config.messages.peer.as_ref() == Some(&id) {
        return Err(format!(
            "`peer` in [messages] is `{id}`, this device itself: name another one"
        ));
    }
    let given = args.broker.as_deref().filter(|url| !url.is_empty());
    let broker = match (given, &config.broker.url) {
        (None, Some(url)) => url.clone(),
        (given, _) => given
            .unwrap_or(BROKER)
            .parse()
            .map_err(|error| format!("the broker's URL {error}"))?,
    };
    let broker = credentials(args, &mut config, broker)?;
    let ca_file = args
        .cafile
        .clone()
        .filter(|file| !file.as_os_str().is_empty());
    if ca_file.is_some() && !broker.tls && variable("ALDIS_CAFILE").is_none() {
        return Err(format!(
            "`--cafile` is for TLS, which {broker} is not: write `mqtts://` for `mqtt://`"
        ));
    }
    let state = match &args.state {
        Some(dir) => dir.clone(),
        None => dirs::state_dir()
            .or_else(dirs::data_local_dir)
            .ok_or("there is no state directory for this user; name one with `--state DIR`")?
            .join("aldis")
            .join(&id),
    };
    let Ok(sensor) = args.sensor.parse::<Choice>();
    let mut device = VirtualDevice::new(config, broker);
    device.ca_file = ca_file;
    device.sensor = sensor;
    device.state = Some(state);
    device.seed = args.seed.unwrap_or(device.seed);
    Ok(device)
}

/// Puts who to be at the broker into the configuration. A password goes with the user it was
/// given for.
fn credentials(
    args: &Args,
    config: &mut Config,
    mut broker: BrokerUrl,
) -> Result<BrokerUrl, String> {
    let (username, password) = (broker.username.take(), broker.password.take());
    let username = username.or(args.username.clone().filter(|name| !name.is_empty()));
    let password = match (password, variable("ALDIS_PASSWORD"), &args.password_file) {
        (Some(password), ..) => Some(password),
        (None, _, Some(file)) if !file.as_os_str().is_empty() => Some(password_in(file)?),
        (None, Some(password), _) => Some(Secret::new(password)),
        (None, None, _) => None,
    };
    let section = &mut config.broker;
    if let Some(username) = username {
        if section.username.as_ref() != Some(&username) {
            section.password = None;
        }
        section.username = Some(username);
    }
    if let Some(password) = password {
        section.password = Some(password);
    }
    if section.password.is_some() && section.username.is_none() {
        return Err(
            "there is a password, but no user name: set ALDIS_USERNAME, or `username` in the \
             configuration file"
                .into(),
        );
    }
    Ok(broker)
}

fn password_in(file: &Path) -> Result<Secret, String> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        format!(
            "the password file {} cannot be read: {error}",
            file.display()
        )
    })?;
    match text.lines().next() {
        None | Some("") => Err(format!(
            "the password file {} has nothing in its first line, where the password should be",
            file.display()
        )),
        Some(password) => Ok(Secret::new(password)),
    }
}

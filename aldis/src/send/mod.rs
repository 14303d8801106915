//! `aldis send`: brings a message to whoever is at a device, and tells what became of it.

mod conversation;
mod lines;
mod outgoing;

use std::io::{self, Read};
use std::process::ExitCode;
use std::time::Duration;

use aldis_mqtt::{QoS, Slot, SubscribeOptions};
use aldis_protocol::{MessageState, topic};
use clap::ValueEnum;
use tokio::time::timeout;

use crate::client::{self, Broker, BrokerArgs, Client, ClientLink, ENVIRONMENT, Failure};
use crate::{duration, signals};
use conversation::Conversation;
use outgoing::Outgoing;

/// Send a message to a device and wait for what becomes of it
///
/// Prints each state as it comes: received, shown, read; or expired, replaced (by newer
/// messages), refused. A reply of the device is printed while this waits. A lost connection is
/// made again, nothing is missed meanwhile, and a message that a broker lost is sent anew: the
/// device knows it by its id.
///
/// Exit codes: 0 the state that was waited for came, 1 refused, replaced or no connection, 2
/// usage, 3 expired, 4 no answer in time, 130 Ctrl-C.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
// `--id` is the message's here.
#[command(mut_arg("id", |id| id.long("client-id")))]
#[command(after_help = format!("Examples:\n  \
    aldis send kitchen dinner is ready\n  \
    aldis send kitchen 'dinner is ready' --wait read --expires 10m -h 192.168.1.107\n  \
    date | aldis send kitchen - --no-wait\n\n\
    {ENVIRONMENT}, ALDIS_FROM, ALDIS_PREFIX"))]
pub struct Args {
    /// Id of the device
    #[arg(value_name = "DEVICE")]
    device: String,
    /// Text of the message, at most 256 bytes; `-`: what comes on standard input
    #[arg(value_name = "TEXT", required = true, allow_negative_numbers = true)]
    text: Vec<String>,
    /// State that is waited for, or a later one
    #[arg(long, value_name = "STATE", value_enum, default_value_t = Goal::Received)]
    wait: Goal,
    /// Wait for the broker only
    #[arg(long, conflicts_with = "wait")]
    no_wait: bool,
    /// How long to wait: 30s, 5m, 2h (default: 30s; with --wait shown and read: for ever)
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    timeout: Option<Duration>,
    /// After this time the message is worthless: 10m, 2h (default: never)
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    expires: Option<Duration>,
    /// How much it matters: low, normal, high
    #[arg(long, value_name = "PRIORITY", default_value = "normal", value_parser = outgoing::priority)]
    priority: aldis_protocol::Priority,
    /// Id of the message, by which the device knows it again (default: a random one)
    #[arg(long = "id", value_name = "ID")]
    message_id: Option<String>,
    /// Who it is from: the device that a reply goes to (default: this user and host)
    #[arg(long, value_name = "NAME", env = "ALDIS_FROM", hide_env = true)]
    from: Option<String>,
    /// Prefix of the topics
    #[arg(long, env = "ALDIS_PREFIX", hide_env = true, default_value = topic::DEFAULT_PREFIX)]
    prefix: String,
    /// QoS: 1 at least once, 2 exactly once
    #[arg(short, long, default_value = "2", value_parser = outgoing::qos)]
    qos: QoS,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    broker: BrokerArgs,
}

/// A state that can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Goal {
    /// The device has the message
    Received,
    /// It is on the device's screen
    Shown,
    /// Somebody pressed the button
    Read,
}

impl Goal {
    fn is_met_by(self, state: MessageState) -> bool {
        match self {
            Self::Received => true,
            Self::Shown => state != MessageState::Received,
            Self::Read => state == MessageState::Read,
        }
    }

    /// What has not happened while it is not met.
    fn missing(self) -> &'static str {
        match self {
            Self::Received => "it has not been received",
            Self::Shown => "it has not been shown",
            Self::Read => "nobody has read it",
        }
    }
}

impl Args {
    /// What is waited for; nothing: the broker only.
    fn goal(&self) -> Option<Goal> {
        (!self.no_wait).then_some(self.wait)
    }

    /// How long that is waited for.
    fn patience(&self) -> Option<Duration> {
        self.timeout.or(match self.goal() {
            None | Some(Goal::Received) => Some(PATIENCE),
            Some(Goal::Shown | Goal::Read) => None,
        })
    }
}

/// The exit code for what cannot be meant.
const USAGE: u8 = 2;
/// The exit code of a message that nobody had in its time.
const EXPIRED: u8 = 3;
/// The exit code where no answer came in time.
const NO_ANSWER: u8 = 4;
/// The exit code after Ctrl-C, as shells have it.
const INTERRUPTED: u8 = 130;

/// How long the device's word that it has the message is waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// Room for the message and the subscriptions, and for what comes.
const ROOM: usize = 64 << 10;
/// One for each subscription and for the message, and some to spare.
const SLOTS: usize = 8;
/// How long the broker keeps what comes while the connection is lost.
const KEPT_S: u32 = 86_400;
/// How long taking back what the broker keeps may take.
const DISCARDING: Duration = Duration::from_secs(2);
/// The longest standard input that is read to say how much too long it is.
const LONGEST_INPUT: u64 = 16 << 20;

/// Sends the message and waits for what was asked for.
pub fn run(args: &Args) -> ExitCode {
    client::run(args.broker.quiet, send(args))
}

fn usage(failure: Failure) -> Failure {
    failure.with_code(USAGE)
}

async fn send(args: &Args) -> Result<u8, Failure> {
    let text = match &args.text[..] {
        [only] if only == "-" => standard_input()?,
        words => words.join(" "),
    };
    let outgoing = Outgoing::new(args, &text)?;
    let broker = args.broker.broker(None, None).map_err(usage)?;
    let client = Client {
        resume: args.goal().map(|_| KEPT_S),
        ..Client::new(&broker)
    };
    let (mut receive, mut outbox) = (vec![0; ROOM], vec![0; ROOM]);
    let mut slots = [Slot::EMPTY; SLOTS];
    let mut link = client
        .link(None, &mut receive, &mut outbox, &mut slots)
        .map_err(usage)?;
    if args.goal().is_some() {
        let options = SubscribeOptions {
            qos: QoS::AtLeastOnce,
            ..SubscribeOptions::default()
        };
        // The one that is waited for comes last: when it is answered, all are.
        for filter in [&outgoing.status, &outgoing.replies, &outgoing.reports] {
            link.session()
                .subscribe(filter, options, None)
                .map_err(|error| Failure::usage(format!("'{filter}' is {error}")))
                .map_err(usage)?;
        }
    }
    let mut conversation = Conversation::new(args, &outgoing);
    let ended = tokio::select! {
        biased;
        () = signals::interrupted() => Ok(INTERRUPTED),
        ended = conversation.hold(&mut link, &broker) => ended,
        () = duration::over(args.patience()) => Err(None),
    };
    let ended = ended.map_err(|failure| failure.unwrap_or_else(|| conversation.no_answer()));
    client::leave(&mut link, conversation.last).await;
    if conversation.was_connected && args.goal().is_some() {
        // Who does not take it in time forgets it later by itself.
        let _ = timeout(DISCARDING, discard(&broker)).await;
    }
    ended
}

/// Has the broker forget the session: nobody will come for what it keeps.
async fn discard(broker: &Broker) -> Result<(), Failure> {
    let (mut receive, mut outbox) = (vec![0; ROOM], []);
    let broker_quietly = Broker {
        debug: false,
        ..broker.clone()
    };
    let client = Client::new(&broker_quietly);
    let mut link: ClientLink<'_> = client.link(None, &mut receive, &mut outbox, &mut [])?;
    client::connect(&mut link, &broker_quietly).await?;
    client::leave(&mut link, None).await;
    Ok(())
}

fn standard_input() -> Result<String, Failure> {
    let mut bytes = Vec::new();
    io::stdin()
        .take(LONGEST_INPUT)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::failed(format!("standard input cannot be read: {error}")))?;
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Failure::new(
            USAGE,
            format!("standard input is not UTF-8 (byte {})", at + 1),
        )
    })?;
    // The end of the last line is not meant.
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

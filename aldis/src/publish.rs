//! `aldis pub`: publishes messages, with the flags of mosquitto_pub.
//!
//! Where it differs from mosquitto_pub 2.0, on purpose:
//! - A message that the broker refuses (MQTT 5) makes the exit code the broker's,
//!   not 0; as MQTT 5 is the default, that is noticed without `-V`.
//! - `-l` neither cuts lines at null characters nor loses a last one.
//! - `-W` bounds it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, BufRead, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use aldis_mqtt::wire::valid_topic;
use aldis_mqtt::{
    Cause, Dropped, Event, Network, Publication, PublicationId, PublishError, QoS, Slot,
};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::client::{
    self, BrokerArgs, Client, ClientLink, Contact, ENVIRONMENT, Failure, SessionArgs, TIMED_OUT,
    TOGETHER,
};

/// Publish a message, or several
///
/// Has the flags of mosquitto_pub, its output with -d, and its exit codes: 0 fine, 1 failed, the
/// broker's code where it refused the connection. Other than mosquitto_pub it ends with the
/// broker's code also where a message was refused (135: not authorized), and it can be bounded
/// with -W. At QoS 1 and 2 it waits for the broker's acknowledgement, over as many connections as
/// that takes.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
#[command(after_help = format!("Examples:\n  \
    aldis pub -h 192.168.1.107 -t output -m on -q 1\n  \
    aldis pub -q 1 aldis/kitchen/led/set toggle\n  \
    dmesg --follow | aldis pub -t log -l\n\n{ENVIRONMENT}"))]
pub struct Args {
    /// Topic, unless -t names it, then the message
    #[arg(value_name = "TOPIC MESSAGE", num_args = 0..=2, allow_negative_numbers = true)]
    positional: Vec<OsString>,
    /// Topic
    #[arg(short, long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Broker and topic in one, such as mqtt://user@host:1883/topic
    #[arg(short = 'L', long, value_name = "URL", conflicts_with_all = ["host", "topic"])]
    url: Option<String>,
    /// Message
    #[arg(
        short,
        long,
        value_name = "MESSAGE",
        allow_hyphen_values = true,
        group = "source"
    )]
    message: Option<OsString>,
    /// An empty message; retained, it takes back what the broker keeps
    #[arg(short, long, group = "source")]
    null_message: bool,
    /// The content of a file as message
    #[arg(short, long, value_name = "FILE", group = "source")]
    file: Option<PathBuf>,
    /// All of standard input as one message
    #[arg(short, long, group = "source")]
    stdin_file: bool,
    /// Each line of standard input as a message
    #[arg(short = 'l', long, group = "source")]
    stdin_line: bool,
    /// QoS: 0 at most once, 1 at least once, 2 exactly once
    #[arg(short, long, default_value = "0", value_parser = client::qos)]
    qos: QoS,
    /// Let the broker keep the message for later subscribers
    #[arg(short, long)]
    retain: bool,
    /// Publish the message so many times
    #[arg(
        long,
        value_name = "COUNT",
        default_value_t = 1,
        conflicts_with = "stdin_line"
    )]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    repeat: u64,
    /// Seconds between repetitions, such as 0.5
    #[arg(long, value_name = "SECONDS", requires = "repeat", value_parser = seconds)]
    repeat_delay: Option<Duration>,
    /// Messages at QoS 1 and 2 that may be under way at once
    #[arg(short = 'M', long, value_name = "COUNT", default_value_t = 20)]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    max_inflight: u16,
    /// End after so many seconds, with exit code 27, if not everything was published
    #[arg(short = 'W', value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    session: SessionArgs,
}

fn seconds(text: &str) -> Result<Duration, String> {
    text.parse()
        .ok()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "it must be a number of seconds, such as 0.5".to_owned())
}

/// Where the messages come from.
enum Source {
    /// One, perhaps several times.
    Message(Vec<u8>),
    /// The lines of standard input.
    Lines(mpsc::Receiver<io::Result<Vec<u8>>>),
}

/// The largest message that MQTT can carry.
const LARGEST: usize = 268_435_455;
/// What a publication takes beside topic and payload, and what CONNECT does.
const OVERHEAD: usize = 64;
/// The longest line, and room for several shorter ones. Memory is taken only as
/// far as it is used.
const LINES: usize = 16 << 20;
/// After so many connections that ended with a message on its way, it is given up.
const IN_VAIN: u8 = 5;
/// mosquitto_pub's exit code for a connection that was lost.
const CONNECTION_LOST: u8 = 7;
/// Lines that were read and not yet published.
const READ_AHEAD: usize = 64;
/// What the broker sends is small; only reason strings take some room.
const RECEIVE: usize = 64 << 10;

/// Publishes everything.
pub fn run(args: Args) -> ExitCode {
    client::run(args.broker.quiet, publish(&args))
}

async fn publish(args: &Args) -> Result<u8, Failure> {
    let timed_out = async {
        match args.timeout {
            Some(seconds) => sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        ended = publish_all(args) => ended,
        () = timed_out => Err(Failure::new(
            TIMED_OUT,
            "Timed out: the broker has not acknowledged everything",
        )),
    }
}

async fn publish_all(args: &Args) -> Result<u8, Failure> {
    let mut url = None;
    let mut topic = args.topic.clone();
    if let Some(text) = &args.url {
        let (broker, of_url) = client::url_and_topic(text).map_err(Failure::usage)?;
        (url, topic) = (Some(broker), Some(of_url));
    }
    let mut positional = args.positional.iter();
    if topic.is_none()
        && let Some(text) = positional.next()
    {
        let text = text
            .to_str()
            .ok_or_else(|| Failure::usage("The topic is not UTF-8."))?;
        topic = Some(text.to_owned());
    }
    let message = positional.next().or(args.message.as_ref());
    let sources = usize::from(message.is_some())
        + usize::from(args.null_message)
        + usize::from(args.file.is_some())
        + usize::from(args.stdin_file)
        + usize::from(args.stdin_line);
    let (Some(topic), 1, None) = (topic, sources, positional.next()) else {
        return Err(Failure::usage(
            "One topic and one message must be given: aldis pub -t TOPIC -m MESSAGE, or -n, -f, \
             -s or -l in place of -m. See aldis pub --help.",
        ));
    };
    if topic.len() > usize::from(u16::MAX) {
        return Err(Failure::usage(format!(
            "The topic has {} bytes; there may be 65535.",
            topic.len()
        )));
    }
    if !valid_topic(&topic) {
        return Err(Failure::usage(format!(
            "Invalid publish topic '{topic}', does it contain '+' or '#'?"
        )));
    }
    let broker = args.broker.broker(url, args.session.id_prefix.as_deref())?;
    let client = Client {
        in_flight: args.max_inflight,
        ..Client::new(&broker).with(&args.session)?
    };
    let source = match message {
        Some(message) => Source::Message(message.as_encoded_bytes().to_vec()),
        None if args.null_message => Source::Message(Vec::new()),
        None if args.stdin_line => Source::Lines(lines()),
        None => Source::Message(content(args.file.as_ref())?),
    };
    let room = match &source {
        Source::Message(payload) if payload.len() + topic.len() + OVERHEAD > LARGEST => {
            return Err(Failure::usage(format!(
                "The message has {} bytes, but MQTT carries {LARGEST} at most.",
                payload.len()
            )));
        }
        // At QoS 0 the next may be put there while the one before goes out.
        Source::Message(payload) => 2 * (payload.len() + topic.len() + OVERHEAD),
        Source::Lines(_) => LINES,
    };
    let will = args
        .session
        .will_payload
        .as_ref()
        .map_or(0, |will| will.len());
    let (mut receive, mut outbox) = (vec![0; RECEIVE + will], vec![0; room]);
    // More than is soon to go out only makes the session look through more.
    let mut slots = vec![Slot::EMPTY; 2 * usize::from(args.max_inflight)];
    let mut together = [0; TOGETHER];
    let mut link = client
        .link(
            args.session.session_expiry_interval,
            &mut receive,
            &mut outbox,
            &mut slots,
        )?
        .gather(&mut together);
    let mut publisher = Publisher {
        args,
        topic,
        numbers: BTreeMap::new(),
        published: 0,
        refused: None,
        contact: Contact::new(args.broker.quiet),
        unsent: false,
        in_vain: 0,
        longest: 0,
    };
    client::connect(&mut link, &broker).await?;
    match source {
        Source::Message(payload) => {
            for round in 0..args.repeat {
                if round > 0
                    && let Some(delay) = args.repeat_delay
                {
                    publisher.pause(&mut link, delay).await;
                }
                loop {
                    publisher.publish(&mut link, &payload).await?;
                    publisher.flush(&mut link).await?;
                    if !std::mem::take(&mut publisher.unsent) {
                        break;
                    }
                }
            }
        }
        Source::Lines(mut lines) => {
            while let Some(line) = publisher.line(&mut link, &mut lines).await {
                let line = line.map_err(|error| {
                    Failure::failed(format!("standard input cannot be read: {error}"))
                })?;
                publisher.publish(&mut link, &line).await?;
            }
            publisher.flush(&mut link).await?;
            if publisher.unsent && !args.broker.quiet {
                eprintln!("Warning: lines may be lost with the connection: with -q 1 none is");
            }
        }
    }
    client::leave(&mut link, None).await;
    Ok(publisher.refused.unwrap_or(0))
}

fn content(file: Option<&PathBuf>) -> Result<Vec<u8>, Failure> {
    match file {
        Some(file) => std::fs::read(file).map_err(|error| {
            Failure::failed(format!("{} cannot be read: {error}", file.display()))
        }),
        None => {
            let mut content = Vec::new();
            io::stdin().read_to_end(&mut content).map_err(|error| {
                Failure::failed(format!("standard input cannot be read: {error}"))
            })?;
            // The output of a command that failed, perhaps.
            if content.is_empty() {
                return Err(Failure::failed(
                    "There is nothing to publish on standard input. An empty message, which \
                     deletes a retained one, is published with -n.",
                ));
            }
            Ok(content)
        }
    }
}

/// Reads standard input line by line on a thread of its own, since a terminal
/// may take its time.
fn lines() -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    std::thread::spawn(move || {
        let mut input = io::stdin().lock();
        loop {
            let mut line = Vec::new();
            let read = match input.read_until(b'\n', &mut line) {
                Ok(0) => return,
                Ok(_) => {
                    line.pop_if(|byte| *byte == b'\n');
                    Ok(line)
                }
                Err(error) => Err(error),
            };
            let failed = read.is_err();
            if sender.blocking_send(read).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

/// What was published, and what became of it.
struct Publisher<'a> {
    args: &'a Args,
    topic: String,
    /// Which publication it was, for those whose end is not known.
    numbers: BTreeMap<PublicationId, u64>,
    published: u64,
    /// The broker's code for the first that it refused.
    refused: Option<u8>,
    contact: Contact,
    /// The connection was lost before messages at QoS 0 were sent.
    unsent: bool,
    /// Connections in a row that the broker accepted and that ended with something
    /// on its way and nothing acknowledged.
    in_vain: u8,
    /// The length of the longest payload.
    longest: usize,
}

impl Publisher<'_> {
    /// Hands a message to the session, when it has the room for it.
    async fn publish(&mut self, link: &mut ClientLink<'_>, payload: &[u8]) -> Result<(), Failure> {
        loop {
            let (session, now) = link.parts();
            let publication = Publication {
                retain: self.args.retain,
                ..Publication::new(&self.topic, payload).qos(self.args.qos)
            };
            match session.publish(&publication, now) {
                Ok(published) => {
                    self.published += 1;
                    self.longest = self.longest.max(payload.len());
                    if self.args.qos != QoS::AtMostOnce {
                        self.numbers.insert(published.id, self.published);
                    }
                    return Ok(());
                }
                Err(PublishError::Full | PublishError::NotConnected) => {
                    self.progress(link).await;
                    self.not_in_vain()?;
                }
                Err(error) => {
                    return Err(Failure::failed(format!(
                        "a message of {} bytes cannot be published: {error}",
                        payload.len()
                    )));
                }
            }
        }
    }

    /// Carries on until everything was sent and, at QoS 1 and 2, acknowledged.
    async fn flush(&mut self, link: &mut ClientLink<'_>) -> Result<(), Failure> {
        while !self.numbers.is_empty() || !link.session().is_flushed() {
            self.progress(link).await;
            self.not_in_vain()?;
        }
        Ok(())
    }

    /// A broker of MQTT 3.1.1 cannot say that a message is too large for it: it
    /// closes the connection, each time anew.
    fn not_in_vain(&self) -> Result<(), Failure> {
        if self.in_vain < IN_VAIN {
            return Ok(());
        }
        Err(Failure::new(
            CONNECTION_LOST,
            format!(
                "The broker ended {} connections in a row with a message on its way: it may not \
                 take messages so large ({} bytes).",
                self.in_vain, self.longest
            ),
        ))
    }

    /// Carries on for a while.
    async fn pause(&mut self, link: &mut ClientLink<'_>, delay: Duration) {
        let over = sleep(delay);
        tokio::pin!(over);
        loop {
            tokio::select! {
                biased;
                () = &mut over => return,
                () = self.progress(link) => {}
            }
        }
    }

    /// The next line of standard input, carrying on meanwhile.
    async fn line(
        &mut self,
        link: &mut ClientLink<'_>,
        lines: &mut mpsc::Receiver<io::Result<Vec<u8>>>,
    ) -> Option<io::Result<Vec<u8>>> {
        loop {
            // By turns: a fast pipe must not keep the first lines from going out.
            tokio::select! {
                line = lines.recv() => return line,
                () = self.progress(link) => {}
            }
        }
    }

    /// Carries on until something happened or some bytes were sent.
    async fn progress(&mut self, link: &mut ClientLink<'_>) {
        let sent = link.connector().sent();
        let flushed = link.session().is_flushed();
        let connected = link.session().is_connected();
        let waiting = !flushed || !self.numbers.is_empty();
        tokio::select! {
            biased;
            event = link.next() => {
                // What was never accepted is another matter: the broker may be away.
                let lost = matches!(
                    event,
                    Event::Disconnected { cause: Cause::Network(Network::Closed | Network::Reset), .. }
                );
                self.in_vain = match event {
                    Event::Delivered { .. } => 0,
                    _ if lost && connected && waiting => self.in_vain.saturating_add(1),
                    _ => self.in_vain,
                };
                let lost = matches!(event, Event::Disconnected { .. });
                self.unsent |= lost && !flushed && self.args.qos == QoS::AtMostOnce;
                self.note(&event);
            }
            () = sent.notified() => {}
        }
    }

    fn note(&mut self, event: &Event<'_>) {
        let quiet = self.args.broker.quiet;
        self.contact.note(event);
        match *event {
            Event::Delivered { id, .. } => {
                self.numbers.remove(&id);
            }
            Event::Dropped { id, reason } => {
                let number = self.numbers.remove(&id).unwrap_or(0);
                let (code, words) = match reason {
                    Dropped::Refused(reason) => {
                        (reason.0, format!("{reason}. ({})", reason.advice()))
                    }
                    Dropped::SessionLost => (
                        1,
                        "the broker forgot the session; it may have passed it on or not."
                            .to_owned(),
                    ),
                    Dropped::Expired => (1, "it has expired.".to_owned()),
                };
                self.refused.get_or_insert(code);
                if !quiet {
                    eprintln!("Warning: Publish {number} failed: {words}");
                }
            }
            _ => {}
        }
    }
}

//! `aldis sub`: prints messages, with the flags of mosquitto_sub.
//!
//! Where it differs from mosquitto_sub 2.0, on purpose:
//! - A message is printed before it is acknowledged, so with `-d` it stands
//!   before PUBACK or PUBREC, not after PUBACK or PUBCOMP.
//! - Several topics are several SUBSCRIBEs, each with its line and SUBACK.
//! - MQTT 5 is spoken where the broker does; a refused connection still has the
//!   exit code of MQTT 3.1.1, which is mosquitto_sub's default, unless `-V` says 5.
//! - After a refused CONNECT no DISCONNECT follows.
//! - When all subscriptions are denied, the exit code is the broker's, not 0;
//!   when some are, it is said.
//! - `%20x` prints the whole payload, not half of it; `%j` is JSON for any
//!   payload; `%J` leaves numbers as they were written.
//! - A closed pipe ends it with 0.
//! - A message may have 32 MiB; what is larger is told (MQTT 3.1.1) or kept back
//!   by the broker (MQTT 5).

mod format;
mod json;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use aldis_mqtt::wire::{valid_filter, valid_topic};
use aldis_mqtt::{Event, Message, QoS, ReasonCode, Slot, SubscribeOptions, Token};
use jiff::Zoned;
use tokio::time::sleep;

use crate::client::{
    self, BrokerArgs, Client, ClientLink, Contact, ENVIRONMENT, Failure, SessionArgs, TIMED_OUT,
    TOGETHER,
};
use crate::{duration, signals};
use format::{Arrival, Format, Output};

/// Subscribe to topics and print the messages
///
/// Has the flags of mosquitto_sub, its output, with -d too, and its exit codes: 0 fine (also
/// after Ctrl-C), 27 time out (-W), 1 failed, the broker's code where it refused the connection
/// or every subscription. A lost connection is made again, with all subscriptions.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
#[command(after_help = format!("Examples:\n  \
    aldis sub -h 192.168.1.107 -t testincr -v\n  \
    aldis sub -h mqtts://hub.local --cafile ca.pem -F '@H:@M:@S %t %p' 'aldis/#'\n\n\
    -F knows %t topic, %p payload, %x %X in hexadecimal, %l length, %q QoS, %r retained, %m message \
    id, %j %J JSON, %U Unix time, %I ISO 8601 time, %A %C %D %E %F %P %R %S properties of MQTT 5, \
    %%, @ and a letter of strftime(3), @N nanoseconds, @@, and \\\\ \\0 \\a \\e \\n \\r \\t \\v. Width and \
    precision go before the letter: %-20t, %05l, %10.10t.\n\n{ENVIRONMENT}"))]
pub struct Args {
    /// Topics, with or without wildcards
    #[arg(value_name = "TOPIC")]
    topics: Vec<String>,
    /// Topic; may be repeated
    #[arg(short, long = "topic", value_name = "TOPIC")]
    topic: Vec<String>,
    /// Broker and topic in one, such as mqtt://user@host:1883/topic
    #[arg(short = 'L', long, value_name = "URL", conflicts_with = "host")]
    url: Option<String>,
    /// QoS of the subscriptions
    #[arg(short, long, default_value = "0", value_parser = client::qos)]
    qos: QoS,
    /// Print the topic before each message
    #[arg(short, long)]
    verbose: bool,
    /// Print each message as this format says (see below)
    #[arg(short = 'F', value_name = "FORMAT", allow_hyphen_values = true)]
    format: Option<String>,
    /// Print each message as a JSON object, one a line; the same as -F %j
    #[arg(long, conflicts_with_all = ["format", "verbose"])]
    json: bool,
    /// Print no line end after a message
    #[arg(short = 'N')]
    no_eol: bool,
    /// End after so many messages
    #[arg(short = 'C', value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after so many seconds, with exit code 27
    #[arg(short = 'W', value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: Option<u64>,
    /// End after this time, with exit code 0: 30s, 5m, 2h, 30d
    #[arg(long = "for", value_name = "DURATION", value_parser = duration::parse)]
    lifetime: Option<Duration>,
    /// End when the broker has answered all subscriptions
    #[arg(short = 'E')]
    exit_when_subscribed: bool,
    /// Leave out messages that the broker had kept
    #[arg(short = 'R')]
    no_retained: bool,
    /// Print only messages that the broker had kept; end with the first that is new
    #[arg(long, conflicts_with = "no_retained")]
    retained_only: bool,
    /// Leave out the messages of this topic, with or without wildcards; may be repeated
    #[arg(short = 'T', long, value_name = "TOPIC")]
    filter_out: Vec<String>,
    #[command(flatten)]
    broker: BrokerArgs,
    #[command(flatten)]
    session: SessionArgs,
}

/// The largest message. Memory is taken only as far as messages are large.
const RECEIVE: usize = 32 << 20;
/// What a subscription takes beside its topic.
const PER_TOPIC: usize = 64;

/// Prints messages until something ends it.
pub fn run(args: Args) -> ExitCode {
    client::run(args.broker.quiet, subscribe(&args))
}

async fn subscribe(args: &Args) -> Result<u8, Failure> {
    let mut topics: Vec<String> = args.topic.iter().chain(&args.topics).cloned().collect();
    let mut url = None;
    if let Some(text) = &args.url {
        let (broker, topic) = client::url_and_topic(text).map_err(Failure::usage)?;
        url = Some(broker);
        topics.push(topic);
    }
    if topics.is_empty() {
        return Err(Failure::usage(
            "You must specify a topic to subscribe to, for example -t testincr.",
        ));
    }
    let mut known = BTreeSet::new();
    topics.retain(|topic| known.insert(topic.clone()));
    for (what, filter) in topics
        .iter()
        .map(|topic| ("subscription", topic))
        .chain(args.filter_out.iter().map(|topic| ("filter", topic)))
    {
        if !valid_filter(filter) {
            return Err(Failure::usage(format!(
                "Invalid {what} topic '{filter}', are all '+' and '#' wildcards correct?"
            )));
        }
    }
    let output = match &args.format {
        Some(text) => Output::Format(
            text.parse()
                .map_err(|error: format::FormatError| Failure::usage(error.to_string()))?,
        ),
        None if args.json => Output::Format(Format::json()),
        None if args.verbose => Output::Verbose,
        None => Output::Payload,
    };
    let broker = args.broker.broker(url, args.session.id_prefix.as_deref())?;
    let client = Client::new(&broker).with(&args.session)?;
    let room = topics.iter().map(|topic| topic.len() + PER_TOPIC).sum();
    let (mut receive, mut outbox) = (vec![0; RECEIVE], vec![0; room]);
    let mut slots = vec![Slot::EMPTY; topics.len()];
    let mut together = [0; TOGETHER];
    let mut link = client
        .link(
            args.session.session_expiry_interval,
            &mut receive,
            &mut outbox,
            &mut slots,
        )?
        .gather(&mut together);
    let options = SubscribeOptions {
        qos: args.qos,
        ..SubscribeOptions::default()
    };
    for topic in &topics {
        link.session()
            .subscribe(topic, options, None)
            .map_err(|error| Failure::usage(format!("'{topic}' is {error}")))?;
    }

    let timed_out = async {
        match args.timeout {
            Some(seconds) => sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    let over = async {
        match args.lifetime {
            Some(lifetime) => sleep(lifetime).await,
            None => std::future::pending().await,
        }
    };
    let mut subscriber = Subscriber {
        args,
        output,
        topics: topics.len(),
        answers: BTreeMap::new(),
        printed: 0,
        last: None,
        contact: Contact::new(args.broker.quiet),
    };
    let output_closed = link.connector().output_closed();
    let ended = {
        let receiving = async {
            client::connect(&mut link, &broker).await?;
            subscriber.receive(&mut link).await
        };
        tokio::select! {
            biased;
            () = signals::interrupted() => Ok(0),
            () = output_closed.notified() => Ok(0),
            ended = receiving => ended,
            () = over => Ok(0),
            () = timed_out => {
                if !args.broker.quiet {
                    eprintln!("Timed out");
                }
                Ok(TIMED_OUT)
            }
        }
    };
    client::leave(&mut link, subscriber.last).await;
    ended
}

/// What a subscription has come to.
struct Subscriber<'a> {
    args: &'a Args,
    output: Output,
    topics: usize,
    answers: BTreeMap<String, Result<QoS, ReasonCode>>,
    printed: u64,
    /// The last message for which the broker is owed an answer.
    last: Option<u16>,
    contact: Contact,
}

/// What a message leads to.
enum After {
    More,
    End,
}

impl Subscriber<'_> {
    /// Prints what comes, until something ends it.
    async fn receive(&mut self, link: &mut ClientLink<'_>) -> Result<u8, Failure> {
        let quiet = self.args.broker.quiet;
        loop {
            let mut acknowledge: Option<Token> = None;
            let mut after = After::More;
            let event = link.next().await;
            self.contact.note(&event);
            match event {
                Event::Message(message) => {
                    after = match self.message(&message) {
                        Ok(after) => after,
                        // The reader has seen enough (`| head`).
                        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(0),
                        Err(error) => {
                            return Err(Failure::failed(format!(
                                "cannot write the message: {error}"
                            )));
                        }
                    };
                    acknowledge = message.token;
                }
                Event::Subscribed { filter, result } => {
                    let known = self.answers.insert(filter.to_string(), result);
                    if let Err(reason) = result
                        && known != Some(result)
                        && !quiet
                    {
                        eprintln!(
                            "Warning: Subscription to '{filter}' was denied: {reason} ({})",
                            reason.advice()
                        );
                    }
                    if let Some(ended) = self.answered() {
                        return ended;
                    }
                }
                Event::Oversized { topic, size } if !quiet => {
                    eprintln!("Warning: a message of {size} bytes to '{topic}' is too large");
                }
                _ => {}
            }
            if let Some(token) = acknowledge {
                self.last = Some(token.packet_id().get());
                link.session().acknowledge(token);
            }
            if let After::End = after {
                return Ok(0);
            }
        }
    }

    /// Whether the broker's answers end it.
    fn answered(&self) -> Option<Result<u8, Failure>> {
        if self.answers.len() < self.topics {
            return None;
        }
        let denied = self.answers.values().find_map(|answer| answer.err());
        match denied {
            Some(reason) if self.answers.values().all(Result::is_err) => Some(Err(Failure::new(
                reason.0,
                "All subscription requests were denied.",
            ))),
            _ if self.args.exit_when_subscribed => Some(Ok(0)),
            _ => None,
        }
    }

    fn message(&mut self, message: &Message<'_>) -> io::Result<After> {
        let args = self.args;
        if args.retained_only && !message.retain {
            return Ok(After::End);
        }
        let left_out = args
            .filter_out
            .iter()
            .any(|filter| matches(filter, message.topic.as_str()));
        if (args.no_retained && message.retain) || left_out {
            return Ok(After::More);
        }
        let arrival = Arrival {
            message,
            mid: message.token.map_or(0, |token| token.packet_id().get()),
            at: &Zoned::now(),
        };
        self.output
            .print(&arrival, !args.no_eol, &mut io::stdout().lock())?;
        self.printed += 1;
        match args.count {
            Some(count) if self.printed >= count => Ok(After::End),
            _ => Ok(After::More),
        }
    }
}

/// Whether a topic filter fits a topic name.
fn matches(filter: &str, topic: &str) -> bool {
    if !valid_topic(topic) || (topic.starts_with('$') && filter.starts_with(['+', '#'])) {
        return false;
    }
    let mut levels = topic.split('/');
    for wanted in filter.split('/') {
        match (wanted, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (wanted, Some(level)) if wanted == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::matches;

    /// A filter that fits too much hides messages; one that fits too little shows them.
    #[test]
    fn filters_fit_as_the_specification_says() {
        for (filter, topic) in [
            ("a/b", "a/b"),
            ("a/+", "a/b"),
            ("a/+", "a/"),
            ("a/#", "a"),
            ("a/#", "a/b/c"),
            ("#", "a/b"),
            ("+/+", "/a"),
            ("$SYS/#", "$SYS/a"),
        ] {
            assert!(matches(filter, topic), "{filter} {topic}");
        }
        for (filter, topic) in [
            ("a/b", "a/b/c"),
            ("a/b/c", "a/b"),
            ("a/+", "a"),
            ("+", "/a"),
            ("#", "$SYS/a"),
            ("+/a", "$SYS/a"),
            ("A", "a"),
        ] {
            assert!(!matches(filter, topic), "{filter} {topic}");
        }
    }
}

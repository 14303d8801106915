//! What is sent, checked as the device will check it.

use std::time::Duration;

use aldis_mqtt::QoS;
use aldis_protocol::message::{MAX_MESSAGE_ID_LEN, MAX_TEXT_LEN, text_len};
use aldis_protocol::{Message, Priority, Reason, Topic, Topics, topic};

use super::{Args, USAGE};
use crate::client::Failure;

/// Reads a QoS at which nothing is lost; for `clap`'s `value_parser`.
pub fn qos(text: &str) -> Result<QoS, String> {
    match text {
        "1" => Ok(QoS::AtLeastOnce),
        "2" => Ok(QoS::ExactlyOnce),
        _ => Err("it must be 1 or 2".to_owned()),
    }
}

/// Reads a priority; for `clap`'s `value_parser`.
pub fn priority(text: &str) -> Result<Priority, String> {
    Priority::decode(text.as_bytes()).ok_or_else(|| "it must be low, normal or high".to_owned())
}

/// A message and the topics about it.
pub struct Outgoing<'a> {
    pub device: &'a str,
    pub id: String,
    /// Where it goes.
    pub topic: String,
    /// Where the device says what became of it.
    pub reports: String,
    /// Where the device says whether it is there.
    pub status: String,
    /// Where a reply goes.
    pub replies: String,
    pub expires: Option<Duration>,
    from: String,
    text: &'a str,
    priority: Priority,
}

impl<'a> Outgoing<'a> {
    /// The message that the flags describe; a device will take it.
    pub fn new(args: &'a Args, text: &'a str) -> Result<Self, Failure> {
        let usage = |words: String| Failure::new(USAGE, words);
        let from = args.from.clone().unwrap_or_else(default_from);
        let names = |id, what: &str| {
            Topics::new(&args.prefix, id).map_err(|error| {
                let name = match error {
                    topic::InvalidName::Prefix => format!("the prefix `{}`", args.prefix),
                    _ => format!("the {what} `{id}`"),
                };
                usage(format!("{name} cannot be used: {error}"))
            })
        };
        let (of_device, of_sender) = (names(&args.device, "device")?, names(&from, "sender")?);
        let name = |topics: Topics<'_>, topic| {
            let mut buffer = [0; topic::MAX_LEN];
            let name = topics.write(topic, &mut buffer).map(str::to_owned);
            name.map_err(|error| usage(error.to_string()))
        };
        let outgoing = Self {
            device: &args.device,
            id: match &args.message_id {
                Some(id) => id.clone(),
                None => format!("{:016x}", fastrand::u64(..)),
            },
            topic: name(of_device, Topic::MessageSet)?,
            reports: name(of_device, Topic::MessageState)?,
            status: name(of_device, Topic::Status)?,
            replies: name(of_sender, Topic::MessageSet)?,
            expires: args.expires,
            from,
            text,
            priority: args.priority,
        };
        outgoing
            .message(None)
            .check()
            .map_err(|reason| usage(advice(reason, text, &outgoing.id)))?;
        if args
            .expires
            .is_some_and(|time| whole_seconds(time).is_none())
        {
            return Err(usage(
                "--expires is longer than 136 years: leave it away".to_owned(),
            ));
        }
        Ok(outgoing)
    }

    /// The message, with what is left of its time.
    pub fn message(&self, expires_s: Option<u32>) -> Message<'_> {
        Message {
            id: Some(&self.id),
            from: Some(&self.from),
            text: self.text,
            expires_s,
            priority: self.priority,
        }
    }
}

/// A duration in seconds, begun ones included.
pub fn whole_seconds(time: Duration) -> Option<u32> {
    let begun = u64::from(time.subsec_nanos() > 0);
    time.as_secs().checked_add(begun)?.try_into().ok()
}

fn advice(reason: Reason, text: &str, id: &str) -> String {
    match reason {
        Reason::TooLong => {
            let len = text_len(text);
            format!(
                "the text has {len} bytes, {} too many: a device takes {MAX_TEXT_LEN} (letters \
                 beyond a to z may count twice or more)",
                len - MAX_TEXT_LEN
            )
        }
        Reason::NoText => "there is nothing in the text that could be shown".to_owned(),
        Reason::Id => format!(
            "the id `{}` cannot be used: it must have 1 to {MAX_MESSAGE_ID_LEN} bytes without \
             control characters",
            id.escape_debug()
        ),
        reason => reason.to_string(),
    }
}

/// This user on this host, as a device id.
fn default_from() -> String {
    let user = ["USER", "LOGNAME", "USERNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    // The id of the virtual device, under which that would hear replies that are ours.
    let host = aldis_pc::default_id();
    let host = host.strip_prefix("pc-").unwrap_or(&host);
    sender(user.as_deref().unwrap_or("somebody"), host)
}

fn sender(user: &str, host: &str) -> String {
    const MOST: usize = 20;
    let user: String = user
        .chars()
        .take(MOST)
        .map(
            |c| match c.is_ascii_alphanumeric() || matches!(c, '-' | '_') {
                true => c,
                false => '-',
            },
        )
        .collect();
    format!("{user}-{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A user whose name cannot stand in a topic gets an error about a name that was never typed.
    #[test]
    fn every_user_can_send() {
        for (user, host, expected) in [
            ("tom", "laptop", "tom-laptop"),
            ("Žydrė B.", "laptop", "-ydr--B--laptop"),
            ("DOMAIN\\user+#/", "a-b", "DOMAIN-user----a-b"),
        ] {
            assert_eq!(sender(user, host), expected);
        }
        let longest = sender(&"u".repeat(100), &"h".repeat(40));
        assert_eq!(topic::check_id(&longest), Ok(()));
        assert_eq!(topic::check_id(&default_from()), Ok(()));
    }

    /// A message that is worthless after half a second expires at once.
    #[test]
    fn begun_seconds_count() {
        for (ms, seconds) in [(1, Some(1)), (1_000, Some(1)), (1_001, Some(2))] {
            assert_eq!(whole_seconds(Duration::from_millis(ms)), seconds);
        }
        let most = u64::from(u32::MAX);
        assert_eq!(whole_seconds(Duration::from_secs(most)), Some(u32::MAX));
        assert_eq!(whole_seconds(Duration::from_secs(most + 1)), None);
        assert_eq!(whole_seconds(Duration::MAX), None);
    }
}

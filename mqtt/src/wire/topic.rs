//! Topic names and topic filters (section 4.7).

use super::text::{Use, check};

/// Whether `topic` may be published to: not empty, no wildcards (MQTT-3.3.2-2),
/// no NUL, and short enough to be sent.
pub fn valid_topic(topic: &str) -> bool {
    valid_topic_bytes(topic.as_bytes())
}

pub(crate) fn valid_topic_bytes(topic: &[u8]) -> bool {
    !topic.is_empty()
        && topic.len() <= usize::from(u16::MAX)
        && check(topic, Use::TopicName).is_ok()
}

/// Whether `filter` may be subscribed to: wildcards stand for whole levels, and
/// `#` comes last (MQTT-4.7.1-1, MQTT-4.7.1-2); a shared subscription has a
/// name and a filter (MQTT-4.8.2-1, MQTT-4.8.2-2).
pub fn valid_filter(filter: &str) -> bool {
    let mut bytes = filter.as_bytes();
    if let Some(shared) = bytes.strip_prefix(b"$share/") {
        let Some(at) = shared.iter().position(|&byte| byte == b'/') else {
            return false;
        };
        let Some((name, rest)) = shared.split_at_checked(at) else {
            return false;
        };
        if name.is_empty() || name.iter().any(|byte| matches!(byte, b'#' | b'+' | 0)) {
            return false;
        }
        bytes = rest.get(1..).unwrap_or(&[]);
    }
    if bytes.is_empty() || filter.len() > usize::from(u16::MAX) {
        return false;
    }
    let mut before = b'/';
    let mut rest = bytes;
    while let Some((&byte, after)) = rest.split_first() {
        let next = after.first().copied();
        let ok = match byte {
            0 => false,
            b'#' => before == b'/' && next.is_none(),
            b'+' => before == b'/' && matches!(next, None | Some(b'/')),
            _ => true,
        };
        if !ok {
            return false;
        }
        before = byte;
        rest = after;
    }
    true
}

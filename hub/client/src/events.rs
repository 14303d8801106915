//! What happens to a client.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use aldis_mqtt::{QoS, Token};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How many messages at QoS 0 wait for the application before they are dropped.
const ROOM: usize = 16_384;

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The broker accepted the connection.
    Connected {
        /// It still had the session.
        session_present: bool,
    },
    /// There is no connection any more, or none came about. The next attempt follows by itself.
    Disconnected {
        /// Why, for people.
        why: String,
    },
    /// A message came.
    Message(Message),
    /// The broker refused a subscription. It is tried again on the next connection.
    Denied {
        /// The topic filter.
        filter: String,
        /// Why, for people.
        why: String,
    },
    /// So many messages at QoS 0 found no room, or were too large, since this was last told.
    Dropped(u64),
}

/// A message from the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Topic name.
    pub topic: String,
    /// Application message.
    pub payload: Vec<u8>,
    /// The QoS at which it came.
    pub qos: QoS,
    /// The broker had kept it; it is not new.
    pub retain: bool,
    /// At QoS 1: it may have come before.
    pub dup: bool,
    /// After how many seconds it expires (MQTT 5): the broker subtracts its waiting
    /// [MQTT-3.3.2-6].
    pub expiry_s: Option<u32>,
    /// When it came.
    pub received: Instant,
    /// At QoS 1 and 2: to be given to [`Client::acknowledge`](crate::Client::acknowledge) when
    /// the message was handled.
    pub token: Option<Token>,
}

/// What the task and the two halves share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub connected: AtomicBool,
    waiting: AtomicUsize,
    dropped: AtomicU64,
}

/// Where the task puts what happened.
#[derive(Debug)]
pub(crate) struct Sink {
    pub shared: Arc<Shared>,
    pub sender: mpsc::UnboundedSender<Event>,
}

impl Sink {
    /// Tells it, unless it is a message at QoS 0 for which there is no room.
    pub fn tell(&self, event: Event) {
        if let Event::Message(message) = &event {
            let waiting = self.shared.waiting.fetch_add(1, Ordering::Relaxed);
            if message.qos == QoS::AtMostOnce && waiting >= ROOM {
                self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
                self.drop_one();
                return;
            }
        }
        // Nobody listens any more: the client is about to end.
        let _ = self.sender.send(event);
    }

    /// A message cannot be told.
    pub fn drop_one(&self) {
        self.shared.dropped.fetch_add(1, Ordering::Relaxed);
    }
}

/// What happens, in order.
#[derive(Debug)]
pub struct Events {
    pub(crate) shared: Arc<Shared>,
    pub(crate) receiver: mpsc::UnboundedReceiver<Event>,
}

impl Events {
    /// The next event; nothing after the client has stopped. May be dropped at any time.
    pub async fn next(&mut self) -> Option<Event> {
        if let Some(dropped) = self.dropped() {
            return Some(dropped);
        }
        let event = self.receiver.recv().await;
        self.taken(event)
    }

    /// The next event, if it is there already.
    pub fn try_next(&mut self) -> Option<Event> {
        if let Some(dropped) = self.dropped() {
            return Some(dropped);
        }
        let event = self.receiver.try_recv().ok();
        self.taken(event)
    }

    fn dropped(&self) -> Option<Event> {
        match self.shared.dropped.swap(0, Ordering::Relaxed) {
            0 => None,
            count => Some(Event::Dropped(count)),
        }
    }

    fn taken(&self, event: Option<Event>) -> Option<Event> {
        if let Some(Event::Message(_)) = event {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(qos: QoS, received: Instant) -> Event {
        Event::Message(Message {
            topic: "t".to_owned(),
            payload: Vec::new(),
            qos,
            retain: false,
            dup: false,
            expiry_s: None,
            received,
            token: None,
        })
    }

    /// A flood would take all memory, or push out what must not be lost.
    #[test]
    fn messages_at_qos_0_are_dropped_when_nobody_takes_them_and_others_are_not() {
        let now = Instant::now();
        let shared = Arc::new(Shared::default());
        let (sender, receiver) = mpsc::unbounded_channel();
        let sink = Sink {
            shared: shared.clone(),
            sender,
        };
        let mut events = Events { shared, receiver };
        for _ in 0..ROOM + 7 {
            sink.tell(message(QoS::AtMostOnce, now));
        }
        sink.tell(message(QoS::AtLeastOnce, now));
        assert_eq!(events.try_next(), Some(Event::Dropped(7)));
        for _ in 0..ROOM {
            assert_eq!(events.try_next(), Some(message(QoS::AtMostOnce, now)));
        }
        assert_eq!(events.try_next(), Some(message(QoS::AtLeastOnce, now)));
        assert_eq!(events.try_next(), None);
        sink.tell(message(QoS::AtMostOnce, now));
        assert_eq!(events.try_next(), Some(message(QoS::AtMostOnce, now)));
    }
}

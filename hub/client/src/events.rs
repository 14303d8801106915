//! What happens to a client.

use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aldis_mqtt::{QoS, Token};
use tokio::sync::Notify;
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
    queue: Mutex<Queue>,
    /// Something was told, or nothing more will be.
    news: Notify,
    /// Nobody listens any more.
    left: Notify,
}

/// What was told and not taken yet.
#[derive(Debug, Default)]
struct Queue {
    events: VecDeque<Event>,
    messages: usize,
    dropped: u64,
    /// Nothing more is told.
    ended: bool,
    /// Nothing more is taken.
    left: bool,
}

impl Queue {
    fn next(&mut self) -> Option<Event> {
        match std::mem::take(&mut self.dropped) {
            0 => {}
            count => return Some(Event::Dropped(count)),
        }
        let event = self.events.pop_front();
        if let Some(Event::Message(_)) = event {
            self.messages -= 1;
        }
        event
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody listens any more.
    pub async fn left(&self) {
        loop {
            let left = self.left.notified();
            if self.queue().left {
                return;
            }
            left.await;
        }
    }
}

/// Where the task puts what happened.
#[derive(Debug)]
pub(crate) struct Sink {
    pub shared: Arc<Shared>,
}

impl Sink {
    /// Tells it, unless it is a message at QoS 0 for which there is no room.
    pub fn tell(&self, event: Event) {
        {
            let mut queue = self.shared.queue();
            match &event {
                Event::Message(message) => {
                    if message.qos == QoS::AtMostOnce && queue.messages >= ROOM {
                        queue.dropped += 1;
                    } else {
                        queue.messages += 1;
                        queue.events.push_back(event);
                    }
                }
                // What was not acknowledged on the connection before comes again on this one. So
                // a broker that comes and goes does not fill the memory of who takes nothing.
                Event::Connected {
                    session_present: true,
                } => {
                    queue.events.retain(|waiting| match waiting {
                        Event::Message(message) => message.qos != QoS::AtLeastOnce,
                        _ => true,
                    });
                    let messages = queue.events.iter();
                    queue.messages = messages
                        .filter(|event| matches!(event, Event::Message(_)))
                        .count();
                    queue.events.push_back(event);
                }
                _ => queue.events.push_back(event),
            }
        }
        self.shared.news.notify_one();
    }

    /// A message cannot be told.
    pub fn drop_one(&self) {
        self.shared.queue().dropped += 1;
        self.shared.news.notify_one();
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.shared.queue().ended = true;
        self.shared.news.notify_one();
    }
}

/// What happens, in order.
#[derive(Debug)]
pub struct Events {
    pub(crate) shared: Arc<Shared>,
}

impl Events {
    /// The next event; nothing after the client has stopped. May be dropped at any time.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            let news = self.shared.news.notified();
            {
                let mut queue = self.shared.queue();
                let event = queue.next();
                if event.is_some() || queue.ended {
                    return event;
                }
            }
            news.await;
        }
    }

    /// The next event, if it is there already.
    pub fn try_next(&mut self) -> Option<Event> {
        self.shared.queue().next()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.shared.queue().left = true;
        self.shared.left.notify_waiters();
        self.shared.left.notify_one();
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
        let sink = Sink {
            shared: shared.clone(),
        };
        let mut events = Events { shared };
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

    /// A broker that comes and goes all night, while nothing is taken, would fill the memory; or
    /// what comes only once would be thrown away.
    #[test]
    fn what_comes_again_is_kept_once() {
        let now = Instant::now();
        let shared = Arc::new(Shared::default());
        let sink = Sink {
            shared: shared.clone(),
        };
        let mut events = Events { shared };
        let all =
            |events: &mut Events| -> Vec<_> { std::iter::from_fn(|| events.try_next()).collect() };
        let connected = |session_present| Event::Connected { session_present };
        for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::AtMostOnce] {
            sink.tell(message(qos, now));
        }
        sink.tell(connected(true));
        sink.tell(message(QoS::AtLeastOnce, now));
        let expected = [
            message(QoS::ExactlyOnce, now),
            message(QoS::AtMostOnce, now),
            connected(true),
            message(QoS::AtLeastOnce, now),
        ];
        assert_eq!(all(&mut events), expected);
        // A broker that forgot the session sends nothing again.
        sink.tell(message(QoS::AtLeastOnce, now));
        sink.tell(connected(false));
        let expected = [message(QoS::AtLeastOnce, now), connected(false)];
        assert_eq!(all(&mut events), expected);
    }
}

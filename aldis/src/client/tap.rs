//! A connector that listens to what passes through it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io;
use std::rc::Rc;

use aldis_mqtt::link::Connector;
use aldis_mqtt::wire::{Frame, Packet, frame};
use aldis_mqtt::{Network, Version};
use embedded_io_async::{ErrorType, Read, Write};
use tokio::sync::Notify;

use super::trace::{self, Direction};

/// What passes over the connection of the connector inside.
pub struct Tap<C> {
    inner: C,
    wire: RefCell<Wire>,
    sent: Rc<Notify>,
    output_closed: Rc<Notify>,
}

impl<C> Tap<C> {
    /// Listens; with `trace` every packet is printed as mosquitto's tools do.
    pub fn new(inner: C, trace: bool) -> Self {
        Self {
            inner,
            wire: RefCell::new(Wire::new(trace)),
            sent: Rc::new(Notify::new()),
            output_closed: Rc::new(Notify::new()),
        }
    }

    /// The connector inside.
    pub fn inner(&self) -> &C {
        &self.inner
    }

    /// Notified when a packet could not be printed: nobody reads any more.
    pub fn output_closed(&self) -> Rc<Notify> {
        self.output_closed.clone()
    }

    /// Whether the message that came under this packet identifier still waits
    /// for the last packet that we owe for it.
    pub fn owes(&self, packet_id: u16) -> bool {
        self.wire.borrow().owed.contains(&packet_id)
    }

    /// Notified when something was sent.
    pub fn sent(&self) -> Rc<Notify> {
        self.sent.clone()
    }
}

impl<C: Connector> Connector for Tap<C> {
    type Reader<'c>
        = Half<'c, C::Reader<'c>>
    where
        C: 'c;
    type Writer<'c>
        = Half<'c, C::Writer<'c>>
    where
        C: 'c;

    const NEEDS_FLUSH: bool = C::NEEDS_FLUSH;

    async fn open(&mut self) -> Result<(), Network> {
        self.inner.open().await?;
        self.wire.get_mut().connected();
        Ok(())
    }

    fn split(&mut self) -> Option<(Self::Reader<'_>, Self::Writer<'_>)> {
        let listener = Listener {
            wire: &self.wire,
            sent: &self.sent,
            output_closed: &self.output_closed,
        };
        let (reader, writer) = self.inner.split()?;
        let reader = Half {
            inner: reader,
            listener,
        };
        let writer = Half {
            inner: writer,
            listener,
        };
        Some((reader, writer))
    }

    fn close(&mut self) {
        self.inner.close();
    }
}

/// Who hears what passes.
#[derive(Clone, Copy)]
struct Listener<'c> {
    wire: &'c RefCell<Wire>,
    sent: &'c Notify,
    output_closed: &'c Notify,
}

impl Listener<'_> {
    fn pass(self, direction: Direction, bytes: &[u8]) {
        if self.wire.borrow_mut().pass(direction, bytes).is_err() {
            self.wire.borrow_mut().trace = false;
            self.output_closed.notify_one();
        }
        if direction == Direction::Sent {
            self.sent.notify_one();
        }
    }
}

/// One direction of a connection that is listened to.
pub struct Half<'c, I> {
    inner: I,
    listener: Listener<'c>,
}

impl<I: ErrorType> ErrorType for Half<'_, I> {
    type Error = I::Error;
}

impl<I: Read> Read for Half<'_, I> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, I::Error> {
        let len = self.inner.read(buf).await?;
        let bytes = buf.get(..len).unwrap_or(&[]);
        self.listener.pass(Direction::Received, bytes);
        Ok(len)
    }
}

impl<I: Write> Write for Half<'_, I> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, I::Error> {
        let len = self.inner.write(buf).await?;
        let bytes = buf.get(..len).unwrap_or(&[]);
        self.listener.pass(Direction::Sent, bytes);
        Ok(len)
    }

    async fn flush(&mut self) -> Result<(), I::Error> {
        self.inner.flush().await
    }
}

/// What is known from the packets that passed.
struct Wire {
    trace: bool,
    names: trace::Names,
    version: Version,
    sent: Vec<u8>,
    received: Vec<u8>,
    /// Packet identifiers of messages that were not brought to an end.
    owed: BTreeSet<u16>,
}

impl Wire {
    fn new(trace: bool) -> Self {
        Self {
            trace,
            names: trace::Names::default(),
            version: Version::V5,
            sent: Vec::new(),
            received: Vec::new(),
            owed: BTreeSet::new(),
        }
    }

    fn connected(&mut self) {
        self.sent.clear();
        self.received.clear();
        self.owed.clear();
    }

    /// Takes bytes that passed, and looks at each packet that is complete.
    fn pass(&mut self, direction: Direction, bytes: &[u8]) -> io::Result<()> {
        let buffer = match direction {
            Direction::Sent => &mut self.sent,
            Direction::Received => &mut self.received,
        };
        let mut bytes = bytes;
        let mut whole = std::mem::take(buffer);
        if !whole.is_empty() {
            whole.extend_from_slice(bytes);
            bytes = &whole;
        }
        let mut result = Ok(());
        while let Ok(Some(frame)) = frame(bytes, self.version)
            && let Some((packet, rest)) = bytes.split_at_checked(frame.size())
        {
            bytes = rest;
            result = result.and_then(|()| self.packet(direction, frame, packet));
        }
        let rest = bytes.to_vec();
        match direction {
            Direction::Sent => self.sent = rest,
            Direction::Received => self.received = rest,
        }
        result
    }

    fn packet(&mut self, direction: Direction, frame: Frame, bytes: &[u8]) -> io::Result<()> {
        /// Where CONNECT says its version: after the length and name of the protocol.
        const LEVEL: usize = 6;
        if frame.first >> 4 == 1 {
            self.version = match bytes.get(frame.header + LEVEL) {
                Some(4) => Version::V4,
                _ => Version::V5,
            };
        }
        // What is malformed the session tells.
        let Ok(Some((packet, _))) = Packet::decode(bytes, self.version) else {
            return Ok(());
        };
        match (direction, &packet) {
            (Direction::Received, Packet::Publish(publish)) => {
                self.owed
                    .extend(publish.delivery.packet_id().map(|id| id.get()));
            }
            (Direction::Sent, Packet::PubAck(ack) | Packet::PubComp(ack)) => {
                self.owed.remove(&ack.packet_id.get());
            }
            _ => {}
        }
        if self.trace {
            self.names.print(direction, &packet, bytes)?;
        }
        Ok(())
    }
}

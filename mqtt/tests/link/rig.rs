//! A connection that does what the test says, before the model of a broker.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use aldis_mqtt::link::{Clock, Connector, Link};
use aldis_mqtt::{Event, Instant, Network, Session, Token};
use aldis_world::broker::{Broker, Config, ConnId};
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};

/// How an attempt to open a connection goes.
#[derive(Clone, Copy, Debug)]
pub enum Opening {
    /// It succeeds when it has been polled so often.
    After(u32),
    Fails(Network),
    Never,
}

/// The network, the broker behind it, and the time.
pub struct Net {
    pub now: u64,
    pub broker: Broker,
    pub conn: Option<ConnId>,
    /// What comes of the next attempts; later ones succeed at once.
    pub openings: VecDeque<Opening>,
    /// How often the attempt under way was polled.
    polled: u32,
    /// An attempt or a connection exists.
    held: bool,
    pub opened: u32,
    pub closed: u32,
    /// The most bytes that one call reads or writes.
    pub grain: usize,
    /// Each read, write and flush is pending once before it gets on.
    pub hesitant: bool,
    hesitated: [bool; 3],
    /// Writes take nothing.
    pub stalled: bool,
    /// Writes take bytes, but they stay behind.
    pub flush_stalled: bool,
    /// What the broker says does not arrive yet.
    pub deaf: bool,
    /// The other side has closed.
    pub eof: bool,
    pub read_error: Option<ErrorKind>,
    pub write_error: Option<ErrorKind>,
    pub flush_error: Option<ErrorKind>,
    pub write_nothing: bool,
    /// Comes again whenever everything was read.
    pub firehose: Vec<u8>,
    pub reads: u32,
    pub writes: u32,
    inbox: VecDeque<u8>,
    /// Written but not flushed, where flushing is needed.
    behind: Vec<u8>,
    /// What the other side got, connection by connection.
    pub got: Vec<Vec<u8>>,
    wake_at: u64,
}

pub type Shared = Rc<RefCell<Net>>;

impl Net {
    pub fn new() -> Shared {
        Rc::new(RefCell::new(Self {
            now: 0,
            broker: Broker::new(Config::default()),
            conn: None,
            openings: VecDeque::new(),
            polled: 0,
            held: false,
            opened: 0,
            closed: 0,
            grain: usize::MAX,
            hesitant: false,
            hesitated: [false; 3],
            stalled: false,
            flush_stalled: false,
            deaf: false,
            eof: false,
            read_error: None,
            write_error: None,
            flush_error: None,
            write_nothing: false,
            firehose: Vec::new(),
            reads: 0,
            writes: 0,
            inbox: VecDeque::new(),
            behind: Vec::new(),
            got: Vec::new(),
            wake_at: u64::MAX,
        }))
    }

    fn hesitates(&mut self, what: usize, cx: &Context<'_>) -> bool {
        if !self.hesitant {
            return false;
        }
        self.hesitated[what] = !self.hesitated[what];
        if self.hesitated[what] {
            cx.waker().wake_by_ref();
        }
        self.hesitated[what]
    }

    fn deliver(&mut self, bytes: &[u8]) {
        let Some(conn) = self.conn else { return };
        self.got.last_mut().unwrap().extend_from_slice(bytes);
        self.broker.receive(conn, bytes, self.now);
    }

    /// What waits for a flush arrives, though the flush has not ended.
    pub fn slip_through(&mut self) {
        let bytes = core::mem::take(&mut self.behind);
        self.deliver(&bytes);
    }

    fn read(&mut self, buf: &mut [u8], cx: &Context<'_>) -> Poll<Result<usize, ErrorKind>> {
        assert!(!buf.is_empty(), "reading into nothing means nothing");
        if self.hesitates(0, cx) {
            return Poll::Pending;
        }
        if let Some(error) = self.read_error.take() {
            return Poll::Ready(Err(error));
        }
        if self.eof {
            return Poll::Ready(Ok(0));
        }
        let conn = self.conn.expect("read without a connection");
        if !self.deaf {
            self.inbox.extend(self.broker.output(conn));
        }
        if self.inbox.is_empty() {
            self.inbox.extend(&self.firehose);
        }
        if !self.inbox.is_empty() {
            self.reads += 1;
            let len = buf.len().min(self.grain).min(self.inbox.len());
            for (to, from) in buf.iter_mut().zip(self.inbox.drain(..len)) {
                *to = from;
            }
            return Poll::Ready(Ok(len));
        }
        if self.broker.is_closed(conn) {
            return Poll::Ready(Ok(0));
        }
        Poll::Pending
    }

    fn write(
        &mut self,
        buf: &[u8],
        buffered: bool,
        cx: &Context<'_>,
    ) -> Poll<Result<usize, ErrorKind>> {
        assert!(
            !buf.is_empty(),
            "writing nothing says that the connection ended"
        );
        if self.stalled || self.hesitates(1, cx) {
            return Poll::Pending;
        }
        if let Some(error) = self.write_error.take() {
            return Poll::Ready(Err(error));
        }
        if self.write_nothing {
            return Poll::Ready(Ok(0));
        }
        self.writes += 1;
        let len = buf.len().min(self.grain);
        match buffered {
            true => self.behind.extend_from_slice(&buf[..len]),
            false => self.deliver(&buf[..len]),
        }
        Poll::Ready(Ok(len))
    }

    fn flush(&mut self, cx: &Context<'_>) -> Poll<Result<(), ErrorKind>> {
        if self.stalled || self.flush_stalled || self.hesitates(2, cx) {
            return Poll::Pending;
        }
        if let Some(error) = self.flush_error.take() {
            return Poll::Ready(Err(error));
        }
        let bytes = core::mem::take(&mut self.behind);
        self.deliver(&bytes);
        Poll::Ready(Ok(()))
    }
}

/// Opens scripted connections; `BUFFERED` ones keep bytes until they are flushed.
pub struct Scripted<const BUFFERED: bool>(pub Shared);
pub struct Half<const BUFFERED: bool>(Shared);

impl<const BUFFERED: bool> Connector for Scripted<BUFFERED> {
    type Reader<'c> = Half<BUFFERED>;
    type Writer<'c> = Half<BUFFERED>;
    const NEEDS_FLUSH: bool = BUFFERED;

    async fn open(&mut self) -> Result<(), Network> {
        poll_fn(|cx| {
            let net = &mut *self.0.borrow_mut();
            if !net.held {
                net.held = true;
                net.opened += 1;
                net.polled = 0;
            }
            net.polled += 1;
            let opening = net.openings.front().copied();
            match opening.unwrap_or(Opening::After(0)) {
                Opening::After(polls) if net.polled <= polls => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Opening::Never => return Poll::Pending,
                Opening::Fails(network) => {
                    net.openings.pop_front();
                    return Poll::Ready(Err(network));
                }
                Opening::After(_) => {}
            }
            net.openings.pop_front();
            net.conn = Some(net.broker.open(net.now));
            net.got.push(Vec::new());
            Poll::Ready(Ok(()))
        })
        .await
    }

    fn split(&mut self) -> Option<(Half<BUFFERED>, Half<BUFFERED>)> {
        self.0.borrow().conn?;
        Some((Half(self.0.clone()), Half(self.0.clone())))
    }

    fn close(&mut self) {
        let net = &mut *self.0.borrow_mut();
        assert!(net.held, "closed what was not opened");
        net.held = false;
        net.closed += 1;
        net.openings
            .retain(|opening| !matches!(opening, Opening::Never));
        net.inbox.clear();
        net.behind.clear();
        net.eof = false;
        if let Some(conn) = net.conn.take() {
            net.broker.closed(conn, net.now);
        }
    }
}

impl<const BUFFERED: bool> ErrorType for Half<BUFFERED> {
    type Error = ErrorKind;
}

impl<const BUFFERED: bool> Read for Half<BUFFERED> {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, ErrorKind> {
        poll_fn(|cx| self.0.borrow_mut().read(buf, cx)).await
    }
}

impl<const BUFFERED: bool> Write for Half<BUFFERED> {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, ErrorKind> {
        poll_fn(|cx| self.0.borrow_mut().write(buf, BUFFERED, cx)).await
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        poll_fn(|cx| self.0.borrow_mut().flush(cx)).await
    }
}

/// The time of the network.
pub struct Virtual(pub Shared);

impl Clock for Virtual {
    fn now(&self) -> Instant {
        Instant::from_millis(self.0.borrow().now)
    }

    async fn wait_until(&mut self, deadline: Instant) {
        poll_fn(|_| {
            let net = &mut *self.0.borrow_mut();
            if deadline.as_millis() <= net.now {
                return Poll::Ready(());
            }
            net.wake_at = net.wake_at.min(deadline.as_millis());
            Poll::Pending
        })
        .await
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub type TestLink<const BUFFERED: bool> = Link<'static, Scripted<BUFFERED>, Virtual>;

/// A link over the network.
pub fn link<const BUFFERED: bool>(net: &Shared, session: Session<'static>) -> TestLink<BUFFERED> {
    Link::new(session, Scripted(net.clone()), Virtual(net.clone()))
}

/// Polls `next` so often, then drops it. Where nothing moves, time does.
pub fn poll_next<const BUFFERED: bool, R>(
    link: &mut TestLink<BUFFERED>,
    net: &Shared,
    polls: u32,
    tell: impl FnOnce(&Event<'_>) -> R,
) -> Option<R> {
    let flag = Arc::new(Flag::default());
    let waker = Waker::from(flag.clone());
    let mut next = pin!(link.next());
    for _ in 0..polls {
        net.borrow_mut().wake_at = u64::MAX;
        if let Poll::Ready(event) = next.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(tell(&event));
        }
        if !flag.0.swap(false, Ordering::Relaxed) {
            let net = &mut *net.borrow_mut();
            assert_ne!(net.wake_at, u64::MAX, "it waits for ever");
            net.now = net.now.max(net.wake_at);
            net.broker.tick(net.now);
        }
    }
    None
}

/// Polls `next` once, then drops it, while time stands still. Says whether something happened.
pub fn poll_still<const BUFFERED: bool>(link: &mut TestLink<BUFFERED>) -> bool {
    let mut next = pin!(link.next());
    next.as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
        .is_ready()
}

/// An event that outlives the link's borrow.
pub fn tell(event: &Event<'_>) -> (String, Option<Token>) {
    match event {
        Event::Message(message) => (
            format!(
                "{} {}",
                message.topic,
                String::from_utf8_lossy(message.payload)
            ),
            message.token,
        ),
        Event::Connected {
            session_present, ..
        } => (format!("connected {session_present}"), None),
        Event::Disconnected { cause, .. } => (format!("disconnected {cause:?}"), None),
        Event::Delivered { .. } => ("delivered".into(), None),
        Event::Subscribed { filter, .. } => (format!("subscribed {filter}"), None),
        other => (format!("{other:?}"), None),
    }
}

/// Carries on until this was told, acknowledging every message. Gives all that was told.
pub fn until<const BUFFERED: bool>(
    link: &mut TestLink<BUFFERED>,
    net: &Shared,
    end: &str,
) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..10_000 {
        let (text, token) =
            poll_next(link, net, 100_000, tell).unwrap_or_else(|| panic!("no event: {told:?}"));
        if let Some(token) = token {
            link.session().acknowledge(token);
        }
        told.push(text);
        if told.last().is_some_and(|text| text == end) {
            return told;
        }
    }
    panic!("{end} was never told");
}

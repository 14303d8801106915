//! aldis-mqtt, MQTT 5, over a tokio socket.

use std::io::ErrorKind;
use std::time::{Duration, Instant as Clock};

use aldis_mqtt::{
    Buffers, Event, Instant, Options, Publication, PublicationId, QoS, RetainHandling, Session,
    SubscribeOptions,
};
use anyhow::{Context, Result, bail, ensure};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::{Client, PATIENCE, PAYLOAD, WINDOW};

const TOPIC: &str = "bench/aldis/out";
const ECHO: &str = "bench/aldis/echo";

/// Sleeping without end is not something a timer can do.
const LONGEST_WAIT_MS: u64 = 60_000;

/// A connected client.
pub struct Device<'b> {
    session: Session<'b>,
    socket: TcpStream,
    start: Clock,
}

/// What an exercise waits for.
enum Happened {
    Subscribed,
    Delivered(PublicationId),
    Received,
}

impl<'b> Device<'b> {
    /// Connects and subscribes.
    pub async fn connect(port: u16, receive: &'b mut [u8], outbox: &'b mut [u8]) -> Result<Self> {
        let start = Clock::now();
        let socket = TcpStream::connect(("127.0.0.1", port)).await?;
        socket.set_nodelay(true)?;
        let mut options = Options::new("bench-aldis");
        options.keep_alive_s = 60;
        let buffers = Buffers::new(receive, outbox);
        let mut session = Session::new(options, buffers, 1, Instant::from_millis(0))?;
        let subscription = SubscribeOptions {
            qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Always,
        };
        session.subscribe(ECHO, subscription, None)?;
        let mut device = Self {
            session,
            socket,
            start,
        };
        let now = device.now();
        ensure!(device.session.poll(now).is_none(), "nothing can have come");
        device.session.opened(now);
        tokio::time::timeout(PATIENCE, async {
            while !matches!(device.next().await?, Happened::Subscribed) {}
            anyhow::Ok(())
        })
        .await
        .context("aldis-mqtt could not subscribe in time")??;
        Ok(device)
    }

    fn now(&self) -> Instant {
        let elapsed = self.start.elapsed().as_millis();
        Instant::from_millis(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    fn publish(&mut self, topic: &str) -> Result<PublicationId> {
        let publication = Publication::new(topic, &PAYLOAD).qos(QoS::AtLeastOnce);
        Ok(self.session.publish(&publication, self.now())?.id)
    }

    async fn next(&mut self) -> Result<Happened> {
        loop {
            let now = self.now();
            let happened = match self.session.poll(now) {
                None => {
                    self.exchange().await?;
                    continue;
                }
                Some(Event::Message(message)) => {
                    ensure!(message.payload == PAYLOAD, "a foreign message");
                    if let Some(token) = message.token {
                        self.session.acknowledge(token);
                    }
                    Happened::Received
                }
                Some(Event::Delivered { id, .. }) => Happened::Delivered(id),
                Some(Event::Subscribed { result, .. }) => {
                    result.map_err(|reason| anyhow::anyhow!("subscription refused: {reason}"))?;
                    Happened::Subscribed
                }
                Some(Event::Connected { .. }) => continue,
                Some(other) => bail!("unexpected: {other:?}"),
            };
            return Ok(happened);
        }
    }

    /// Writes what is to be written, or waits until something can be read.
    async fn exchange(&mut self) -> Result<()> {
        let now = self.now();
        while let Some(bytes) = self.session.transmit(now) {
            match self.socket.try_write(bytes) {
                Ok(written) => self.session.transmitted(written, now),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.socket.writable().await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let due = self.session.deadline().since(now).min(LONGEST_WAIT_MS);
        let space = self.session.receive_space();
        if space.is_empty() {
            return Ok(());
        }
        let read = self.socket.read(space);
        match tokio::time::timeout(Duration::from_millis(due), read).await {
            Ok(Ok(0)) => bail!("the broker closed the connection"),
            Ok(read) => self.session.received(read?),
            // Something is due: the session is to be asked.
            Err(_) => {}
        }
        Ok(())
    }
}

impl Client for Device<'_> {
    async fn acknowledged(&mut self) -> Result<()> {
        let id = self.publish(TOPIC)?;
        match self.next().await? {
            Happened::Delivered(done) if done == id => Ok(()),
            _ => bail!("an event that nothing led to"),
        }
    }

    async fn windowed(&mut self) -> Result<()> {
        for _ in 0..WINDOW {
            self.publish(TOPIC)?;
        }
        for _ in 0..WINDOW {
            match self.next().await? {
                Happened::Delivered(_) => {}
                _ => bail!("an event that nothing led to"),
            }
        }
        Ok(())
    }

    async fn echoed(&mut self) -> Result<()> {
        let id = self.publish(ECHO)?;
        let (mut acknowledged, mut received) = (false, false);
        while !(acknowledged && received) {
            match self.next().await? {
                Happened::Delivered(done) if done == id => acknowledged = true,
                Happened::Received => received = true,
                _ => bail!("an event that nothing led to"),
            }
        }
        Ok(())
    }
}

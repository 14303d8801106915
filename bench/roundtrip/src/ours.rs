//! aldis-mqtt with its tokio driver, MQTT 5.

use aldis_mqtt::link::tokio::{TcpConnector, TokioClock};
use aldis_mqtt::link::{Clock, Link};
use aldis_mqtt::{
    Buffers, Event, Options, Publication, PublicationId, QoS, RetainHandling, Session, Slot,
    SubscribeOptions,
};
use anyhow::{Context, Result, anyhow, bail, ensure};

use crate::{Client, PATIENCE, PAYLOAD, WINDOW};

const TOPIC: &str = "bench/aldis/out";
const ECHO: &str = "bench/aldis/echo";

/// A connected client.
pub struct Device<'b> {
    link: Link<'b, TcpConnector, TokioClock>,
}

/// What an exercise waits for.
enum Happened {
    Subscribed,
    Delivered(PublicationId),
    Received,
}

impl<'b> Device<'b> {
    /// Connects and subscribes.
    pub async fn connect(
        port: u16,
        receive: &'b mut [u8],
        outbox: &'b mut [u8],
        slots: &'b mut [Slot],
        gather: &'b mut [u8],
    ) -> Result<Self> {
        let mut options = Options::new("bench-aldis");
        options.keep_alive_s = 60;
        let clock = TokioClock::new();
        let buffers = Buffers::new(receive, outbox, slots);
        let mut session = Session::new(options, buffers, 1, clock.now())?;
        let subscription = SubscribeOptions {
            qos: QoS::AtLeastOnce,
            no_local: false,
            retain_as_published: false,
            retain_handling: RetainHandling::Always,
        };
        session.subscribe(ECHO, subscription, None)?;
        let connector = TcpConnector::new("127.0.0.1", port);
        let mut device = Self {
            link: Link::new(session, connector, clock).gather(gather),
        };
        tokio::time::timeout(PATIENCE, async {
            while !matches!(device.next().await?, Happened::Subscribed) {}
            anyhow::Ok(())
        })
        .await
        .context("aldis-mqtt could not subscribe in time")??;
        Ok(device)
    }

    fn publish(&mut self, topic: &str) -> Result<PublicationId> {
        let publication = Publication::new(topic, &PAYLOAD).qos(QoS::AtLeastOnce);
        let (session, now) = self.link.parts();
        Ok(session.publish(&publication, now)?.id)
    }

    async fn next(&mut self) -> Result<Happened> {
        loop {
            let happened = match self.link.next().await {
                Event::Message(message) => {
                    ensure!(message.payload == PAYLOAD, "a foreign message");
                    if let Some(token) = message.token {
                        self.link.session().acknowledge(token);
                    }
                    Happened::Received
                }
                Event::Delivered { id, .. } => Happened::Delivered(id),
                Event::Subscribed { result, .. } => {
                    result.map_err(|reason| anyhow!("the subscription was refused: {reason}"))?;
                    Happened::Subscribed
                }
                Event::Connected { .. } => continue,
                other => bail!("unexpected: {other:?}"),
            };
            return Ok(happened);
        }
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

//! rumqttc with its event loop, MQTT 3.1.1.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, NetworkOptions, Packet, QoS};

use crate::{Client, PATIENCE, PAYLOAD, WINDOW};

const TOPIC: &str = "bench/rumqttc/out";
const ECHO: &str = "bench/rumqttc/echo";

/// A connected client.
pub struct Device {
    client: AsyncClient,
    events: EventLoop,
}

impl Device {
    /// Connects and subscribes.
    pub async fn connect(port: u16) -> Result<Self> {
        let mut options = MqttOptions::new("bench-rumqttc", "127.0.0.1", port);
        options.set_keep_alive(Duration::from_secs(60));
        let (client, mut events) = AsyncClient::new(options, 10);
        let mut network = NetworkOptions::new();
        network.set_tcp_nodelay(true);
        events.set_network_options(network);
        client.subscribe(ECHO, QoS::AtLeastOnce).await?;
        let mut device = Self { client, events };
        tokio::time::timeout(PATIENCE, async {
            while !matches!(device.next().await?, Packet::SubAck(_)) {}
            anyhow::Ok(())
        })
        .await
        .context("rumqttc could not subscribe in time")??;
        Ok(device)
    }

    async fn next(&mut self) -> Result<Packet> {
        loop {
            if let Event::Incoming(packet) = self.events.poll().await? {
                return Ok(packet);
            }
        }
    }
}

impl Client for Device {
    async fn acknowledged(&mut self) -> Result<()> {
        self.client
            .publish(TOPIC, QoS::AtLeastOnce, false, PAYLOAD)
            .await?;
        while !matches!(self.next().await?, Packet::PubAck(_)) {}
        Ok(())
    }

    async fn windowed(&mut self) -> Result<()> {
        for _ in 0..WINDOW {
            self.client
                .publish(TOPIC, QoS::AtLeastOnce, false, PAYLOAD)
                .await?;
        }
        for _ in 0..WINDOW {
            while !matches!(self.next().await?, Packet::PubAck(_)) {}
        }
        Ok(())
    }

    async fn echoed(&mut self) -> Result<()> {
        self.client
            .publish(ECHO, QoS::AtLeastOnce, false, PAYLOAD)
            .await?;
        let (mut acknowledged, mut received) = (false, false);
        while !(acknowledged && received) {
            match self.next().await? {
                Packet::PubAck(_) => acknowledged = true,
                Packet::Publish(message) if message.payload[..] == PAYLOAD => received = true,
                Packet::PingResp => {}
                other => bail!("unexpected: {other:?}"),
            }
        }
        Ok(())
    }
}

//! No client at all: ready-made packets through a tokio socket. What it reaches is what the
//! machine and the broker allow; no client can be faster by much.

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::{BUFFER, Client, PATIENCE, PAYLOAD, WINDOW};

const TOPIC: &str = "bench/bare/out";
const ECHO: &str = "bench/bare/echo";

/// The packet id of every publication: one is acknowledged before the next is made.
const ID: [u8; 2] = [0, 1];

const CONNECT: u8 = 0x10;
const CONNACK: u8 = 0x20;
const PUBLISH_QOS1: u8 = 0x32;
const PUBACK: u8 = 0x40;
const SUBSCRIBE: u8 = 0x82;
const SUBACK: u8 = 0x90;

/// A connected socket.
pub struct Device {
    socket: TcpStream,
    publish: Vec<u8>,
    publish_echo: Vec<u8>,
    buffer: [u8; BUFFER],
    start: usize,
    end: usize,
}

impl Device {
    /// Connects and subscribes.
    pub async fn connect(port: u16) -> Result<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port)).await?;
        socket.set_nodelay(true)?;
        let publish = |topic| packet(PUBLISH_QOS1, &[&string(topic), &ID, &[0], &PAYLOAD]);
        let mut device = Self {
            socket,
            publish: publish(TOPIC),
            publish_echo: publish(ECHO),
            buffer: [0; BUFFER],
            start: 0,
            end: 0,
        };
        // MQTT 5, clean start, a keep-alive of a minute, no properties.
        let head = [5, 2, 0, 60, 0];
        let connect = packet(CONNECT, &[&string("MQTT"), &head, &string("bench-bare")]);
        let subscribe = packet(SUBSCRIBE, &[&ID, &[0], &string(ECHO), &[1]]);
        tokio::time::timeout(PATIENCE, async {
            device.socket.write_all(&connect).await?;
            ensure!(device.next().await?.first() == Some(&CONNACK), "no CONNACK");
            device.socket.write_all(&subscribe).await?;
            ensure!(device.next().await?.first() == Some(&SUBACK), "no SUBACK");
            Ok(())
        })
        .await
        .context("the bare socket could not subscribe in time")??;
        Ok(device)
    }

    /// The next packet, which must be a short one.
    async fn next(&mut self) -> Result<&[u8]> {
        loop {
            let received = &self.buffer[self.start..self.end];
            if let Some(&length) = received.get(1) {
                ensure!(length < 0x80, "a packet longer than expected");
                let length = 2 + usize::from(length);
                if received.len() >= length {
                    let start = self.start;
                    self.start += length;
                    return Ok(&self.buffer[start..start + length]);
                }
            }
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            let read = self.socket.read(&mut self.buffer[self.end..]).await?;
            ensure!(read > 0, "the broker closed the connection");
            self.end += read;
        }
    }
}

impl Client for Device {
    async fn acknowledged(&mut self) -> Result<()> {
        self.socket.write_all(&self.publish).await?;
        let answer = self.next().await?;
        ensure!(answer.first() == Some(&PUBACK), "no PUBACK");
        Ok(())
    }

    async fn windowed(&mut self) -> Result<()> {
        for id in 1..=WINDOW as u8 {
            // The packet id is the last thing before the properties and the payload.
            let low = self.publish.len() - PAYLOAD.len() - 2;
            self.publish[low] = id;
            self.socket.write_all(&self.publish).await?;
        }
        for _ in 0..WINDOW {
            let answer = self.next().await?;
            ensure!(answer.first() == Some(&PUBACK), "no PUBACK");
        }
        Ok(())
    }

    async fn echoed(&mut self) -> Result<()> {
        self.socket.write_all(&self.publish_echo).await?;
        let (mut acknowledged, mut received) = (false, false);
        while !(acknowledged && received) {
            let packet = self.next().await?;
            match packet.first() {
                Some(&PUBACK) => acknowledged = true,
                Some(&PUBLISH_QOS1) => {
                    let id = packet.get(4 + ECHO.len()..6 + ECHO.len());
                    let puback = [&[PUBACK, 2][..], id.context("a short PUBLISH")?].concat();
                    self.socket.write_all(&puback).await?;
                    received = true;
                }
                other => bail!("unexpected: {other:?}"),
            }
        }
        Ok(())
    }
}

fn string(text: &str) -> Vec<u8> {
    [&(text.len() as u16).to_be_bytes()[..], text.as_bytes()].concat()
}

fn packet(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let body = parts.concat();
    [&[first, body.len() as u8][..], &body].concat()
}

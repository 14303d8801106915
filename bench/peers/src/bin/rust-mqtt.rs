//! rust-mqtt, MQTT 5, in the loop of its examples: a ping at each four fifths of the keep-alive,
//! whose answer nobody waits for, and after a lost connection another one with what was under way
//! published again, a second between attempts. While there is no connection it takes no
//! publications.

use std::num::NonZero;
use std::time::Duration;

use bench_peers::{Args, KEEP_ALIVE_S, RETRY, TOPIC, run, say};
use embedded_io_adapters::tokio_1::FromTokio;
use rust_mqtt::Bytes;
use rust_mqtt::buffer::BumpBuffer;
use rust_mqtt::client::event::Event;
use rust_mqtt::client::options::{ConnectOptions, PublicationOptions, TopicReference};
use rust_mqtt::client::{Client, MqttError};
use rust_mqtt::config::{KeepAlive, SessionExpiryInterval};
use rust_mqtt::types::{MqttString, PacketIdentifier, QoS, TopicName};
use tokio::net::TcpStream;
use tokio::time::{Interval, interval};

/// As many publications under way as ours allows.
type Device<'c> = Client<'static, 'c, FromTokio<TcpStream>, BumpBuffer<'c>, 1, 16, 16, 0, 0, 0, 0>;

/// What was published and is not acknowledged.
type UnderWay = Vec<(PacketIdentifier, u32)>;

fn main() {
    run(publish(Args::parse()));
}

async fn publish(args: Args) {
    let mut memory = [0; 1024];
    let mut buffer = BumpBuffer::new(&mut memory);
    let mut client = Device::new(&mut buffer);
    let mut under_way = UnderWay::new();
    let mut ticks = args.ticks();
    let mut next = 0;
    let mut first = true;
    loop {
        let ended = converse(
            &args,
            &mut client,
            &mut first,
            &mut under_way,
            &mut ticks,
            &mut next,
        );
        say(format_args!("lost {}", ended.await));
        let retry = tokio::time::sleep(RETRY);
        tokio::pin!(retry);
        loop {
            tokio::select! {
                () = &mut retry => break,
                _ = ticks.tick() => refuse(&mut next),
            }
        }
    }
}

fn refuse(next: &mut u32) {
    *next += 1;
    say(format_args!("refused {next} there is no connection"));
}

fn topic() -> TopicReference<'static> {
    let topic = TopicName::new(MqttString::from_str_unchecked(TOPIC));
    TopicReference::Name(topic.expect("the topic is valid"))
}

/// One connection; says how it ended.
async fn converse(
    args: &Args,
    client: &mut Device<'_>,
    first: &mut bool,
    under_way: &mut UnderWay,
    ticks: &mut Interval,
    next: &mut u32,
) -> String {
    let stream = {
        let connect = TcpStream::connect((args.host.as_str(), args.port));
        tokio::pin!(connect);
        loop {
            tokio::select! {
                connected = &mut connect => match connected {
                    Ok(stream) => break stream,
                    Err(error) => return error.to_string(),
                },
                _ = ticks.tick() => refuse(next),
            }
        }
    };
    if let Err(error) = stream.set_nodelay(true) {
        return error.to_string();
    }
    let ended = match connected(args, client, stream, first, under_way, ticks, next).await {
        Ok(never) => match never {},
        Err(error) => error,
    };
    // As its documentation asks after each failure.
    let _ = client.abort().await;
    ended
}

async fn connected(
    args: &Args,
    client: &mut Device<'_>,
    stream: TcpStream,
    first: &mut bool,
    under_way: &mut UnderWay,
    ticks: &mut Interval,
    next: &mut u32,
) -> Result<std::convert::Infallible, String> {
    let words = |error: MqttError<'_, 0>| format!("{error:?}");
    let seconds = |number| NonZero::new(number).ok_or("zero seconds");
    let mut options = ConnectOptions::new()
        .keep_alive(KeepAlive::Seconds(
            NonZero::new(KEEP_ALIVE_S).ok_or("zero seconds")?,
        ))
        .session_expiry_interval(SessionExpiryInterval::Seconds(seconds(3600)?));
    if *first {
        options = options.clean_start();
    }
    let id = MqttString::try_from(args.client_id.as_str()).map_err(|e| format!("{e:?}"))?;
    {
        let connect = client.connect(FromTokio::new(stream), &options, Some(id));
        tokio::pin!(connect);
        loop {
            tokio::select! {
                connected = &mut connect => {
                    connected.map_err(|error| format!("{error:?}"))?;
                    break;
                }
                _ = ticks.tick() => refuse(next),
            }
        }
    }
    recycle(client);
    *first = false;
    say("connected");
    let options = PublicationOptions::new(topic()).qos(QoS::AtLeastOnce);
    for (packet_id, number) in under_way.clone() {
        let payload = number.to_string();
        match client
            .republish(packet_id, &options, Bytes::from(payload.as_bytes()))
            .await
        {
            Ok(()) => {}
            // "All done", says its README; after a session that the broker forgot, too.
            Err(MqttError::PacketIdentifierNotInFlight) => {
                under_way.retain(|(known, _)| *known != packet_id);
            }
            Err(error) => return Err(words(error)),
        }
    }
    let mut pings = interval(Duration::from_secs(KEEP_ALIVE_S.into()) * 4 / 5);
    pings.reset();
    loop {
        tokio::select! {
            header = client.poll_header() => {
                let header = header.map_err(words)?;
                let event = client.poll_body(header).await.map_err(words)?;
                if let Event::PublishAcknowledged(acknowledged) = event {
                    let id = acknowledged.packet_identifier;
                    if let Some(at) = under_way.iter().position(|(known, _)| *known == id) {
                        let (_, number) = under_way.remove(at);
                        say(format_args!("acked {number}"));
                    }
                }
                recycle(client);
            }
            _ = pings.tick() => client.ping().await.map_err(words)?,
            _ = ticks.tick() => {
                *next += 1;
                let payload = next.to_string();
                match client.publish(&options, Bytes::from(payload.as_bytes())).await {
                    Ok(id) => {
                        say(format_args!("accepted {next}"));
                        under_way.extend(id.map(|id| (id, *next)));
                    }
                    Err(error @ (MqttError::SendQuotaExceeded | MqttError::SessionBuffer)) => {
                        say(format_args!("refused {next} {error:?}"));
                    }
                    Err(error) => {
                        say(format_args!("refused {next} {error:?}"));
                        return Err(words(error));
                    }
                }
            }
        }
    }
}

fn recycle(client: &mut Device<'_>) {
    // SAFETY: called where nothing that the client returned is alive any more.
    unsafe { client.buffer_mut().reset() };
}

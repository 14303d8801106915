//! A broker that only answers: what it is sent in one piece it answers in one piece, without
//! topics, sessions or a queue, so that the clients are what is measured.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result};

const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const SUBSCRIBE: u8 = 8;
const PINGREQ: u8 = 12;

/// Starts it and gives its port on 127.0.0.1. It ends with the program.
pub fn start() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || answer(stream));
        }
    });
    Ok(port)
}

/// Answers one client until it leaves.
fn answer(mut stream: TcpStream) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut buffer = vec![0; 0x10000];
    let mut end = 0;
    let mut answers = Vec::new();
    let mut version_5 = false;
    loop {
        let read = stream.read(&mut buffer[end..]).ok()?;
        if read == 0 {
            return None;
        }
        end += read;
        let mut start = 0;
        answers.clear();
        // Every packet of the exercises is a short one.
        while end - start >= 2 && end - start >= 2 + usize::from(buffer[start + 1]) {
            let len = 2 + usize::from(buffer[start + 1]);
            let packet = &buffer[start..start + len];
            start += len;
            match packet[0] >> 4 {
                CONNECT => {
                    version_5 = packet[8] == 5;
                    answers.extend_from_slice(&[0x20, 2 + u8::from(version_5), 0, 0]);
                    answers.extend_from_slice(&[0][..usize::from(version_5)]);
                }
                SUBSCRIBE => {
                    answers.extend_from_slice(&[0x90, 3 + u8::from(version_5)]);
                    answers.extend_from_slice(&packet[2..4]);
                    answers.extend_from_slice(&[0, 1][usize::from(!version_5)..]);
                }
                PUBLISH => {
                    let id = 4 + usize::from(packet[3]);
                    answers.extend_from_slice(&[0x40, 2, packet[id], packet[id + 1]]);
                }
                PINGREQ => answers.extend_from_slice(&[0xd0, 0]),
                _ => {}
            }
        }
        buffer.copy_within(start..end, 0);
        end -= start;
        stream.write_all(&answers).ok()?;
    }
}

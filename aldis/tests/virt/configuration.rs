//! A configuration that cannot be used.

use std::time::Duration;

use crate::machine::{Machine, config};

/// A record of this version with a host, and more.
fn record(version: u16, more: &[u8]) -> Vec<u8> {
    let mut bytes = [0; aldis_flash::config::MAX_LEN];
    let config = aldis_flash::Config::new("10.0.2.2", 1883);
    let len = config.encode(&mut bytes).unwrap();
    let body = [&bytes[12..len], more].concat();
    let mut record = b"ALDS".to_vec();
    record.extend(version.to_le_bytes());
    record.extend((body.len() as u16).to_le_bytes());
    let counted = crc32(&record[4..8]).to_le_bytes();
    record.extend((crc32(&counted) ^ crc32(&body)).to_le_bytes());
    record.extend(body);
    record
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0xedb8_8320 * (crc & 1))
        })
    })
}

/// One line each second, no network, and the board stays up.
#[test]
fn a_configuration_that_cannot_be_used_is_told() {
    let mut damaged = record(1, &[]);
    damaged[14] ^= 1;
    for (record, told) in [
        (vec![], "config: missing: "),
        (damaged, "config: damaged: "),
        (record(2, &[]), "config: for a newer firmware: "),
        (record(1, &[1, 1, b'/']), "config: unusable, in `id`: "),
    ] {
        let mut machine = Machine::with_record(&record);
        let console = machine.start();
        console.wait_for_text(told);
        // Longer than the watchdog's patience in the end, shorter here.
        let said = console.listen(Duration::from_secs(4));
        assert!((3..=5).contains(&said.len()), "{said:?}");
        assert!(said.iter().all(|line| line.starts_with(told)), "{said:?}");
    }
}

/// A newer `aldis` adds an entry that this firmware does not know.
#[test]
fn entries_of_a_newer_program_do_no_harm() {
    let mut machine = Machine::with_record(&record(1, &[250, 3, 1, 2, 3]));
    machine.start().wait_for_line("ip: 10.0.2.15");
}

/// The configuration is written anew, and what the device remembers stays.
#[test]
fn a_new_configuration_keeps_the_state() {
    let mut machine = Machine::new(&config(1, ""));
    let console = machine.start();
    console.wait_for_text("dev start 1 ");
    console.wait_for_text("ip: ");
    machine.kill();
    machine.configure(&config(1, "[console]\nlevel = \"debug\"\n"));
    let console = machine.start();
    console.wait_for_text("dev start 2 ");
    console.wait_for_text("reading: 23.8C 72.1%");
    machine.kill();
    machine.configure(&config(1, "[console]\nlevel = \"error\"\n"));
    let said = machine.start().listen(Duration::from_secs(4));
    assert!(
        said.iter().all(|line| line.starts_with("memory: ")),
        "{said:?}"
    );
}

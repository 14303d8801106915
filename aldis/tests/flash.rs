//! `aldis flash` as a user runs it, with a board that is made of a pseudo-terminal and the
//! bootloader's protocol:
//! <https://docs.espressif.com/projects/esptool/en/latest/esp32/advanced-topics/serial-protocol.html>
#![cfg(unix)]

mod common;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use flate2::read::ZlibDecoder;
use md5::{Digest, Md5};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use serde_json::Value;

use common::elf::{self, Chip, ESP32C3, ESP32C6};
use common::{Folder, Program, aldis};

const CONFIG: &str = "[wifi]\nssid = 'home'\npassword = 'geheim-42'\n\
                      [broker]\nurl = 'mqtt://192.168.1.107'\n";
const FLASH: usize = 0x40_0000;
const STORE: usize = 0x3d_0000;

/// A board at a port, until it is dropped.
struct Board {
    port: String,
    master: File,
    flash: Arc<Mutex<Vec<u8>>>,
}

/// What is wrong with a board.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// It hears nothing.
    Deaf,
    /// Its flash does not keep what is written.
    Worn,
}

impl Board {
    fn new(chip: Chip, fault: Fault) -> Self {
        // Closed in other programs, which would keep it alive.
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let port = ptsname(&master, Vec::new()).unwrap();
        let master = File::from(master);
        let flash = Arc::new(Mutex::new(elf::noise(FLASH, 9)));
        if fault != Fault::Deaf {
            let mut bootloader = Bootloader {
                chip,
                fault,
                port: master.try_clone().unwrap(),
                flash: flash.clone(),
                in_stub: false,
                packed: Vec::new(),
                place: (0, 0),
            };
            thread::spawn(move || bootloader.serve());
        }
        Self {
            port: port.into_string().unwrap(),
            master,
            flash,
        }
    }

    fn flash(&self) -> Vec<u8> {
        self.flash.lock().unwrap().clone()
    }

    fn say(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }
}

struct Bootloader {
    chip: Chip,
    fault: Fault,
    port: File,
    flash: Arc<Mutex<Vec<u8>>>,
    /// The program that `espflash` puts into the memory runs.
    in_stub: bool,
    packed: Vec<u8>,
    /// Where what is packed belongs, and how long it is.
    place: (usize, usize),
}

fn word(bytes: &[u8], number: usize) -> usize {
    let at = 4 * number;
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}

impl Bootloader {
    fn serve(&mut self) {
        while let Some(frame) = self.frame() {
            // Direction, command, length, checksum, data.
            if frame.len() >= 8 && frame[0] == 0 {
                self.obey(frame[1], &frame[8..]);
            }
        }
    }

    /// The next frame, as long as the board is there.
    fn frame(&mut self) -> Option<Vec<u8>> {
        let mut frame = Vec::new();
        let mut is_escaped = false;
        let mut byte = [0];
        loop {
            if Arc::strong_count(&self.flash) == 1 {
                return None;
            }
            let timeout = Timespec {
                tv_sec: 0,
                tv_nsec: 50_000_000,
            };
            let mut port = [PollFd::new(&self.port, PollFlags::IN)];
            let ready = poll(&mut port, Some(&timeout)).unwrap();
            if ready == 0 {
                continue;
            }
            if !matches!(self.port.read(&mut byte), Ok(1)) {
                // Nobody has the port open.
                thread::sleep(Duration::from_millis(5));
                continue;
            }
            match (byte[0], is_escaped) {
                (0xc0, _) if frame.is_empty() => {}
                (0xc0, _) => return Some(frame),
                (0xdb, _) => is_escaped = true,
                (byte, true) => {
                    frame.push(if byte == 0xdc { 0xc0 } else { 0xdb });
                    is_escaped = false;
                }
                (byte, false) => frame.push(byte),
            }
        }
    }

    fn send(&mut self, frame: &[u8]) {
        let mut bytes = vec![0xc0];
        for byte in frame {
            match byte {
                0xc0 => bytes.extend([0xdb, 0xdc]),
                0xdb => bytes.extend([0xdb, 0xdd]),
                byte => bytes.push(*byte),
            }
        }
        bytes.push(0xc0);
        let _ = self.port.write_all(&bytes);
    }

    fn answer(&mut self, command: u8, value: u32, data: &[u8]) {
        let status = if self.in_stub { 2 } else { 4 };
        let mut frame = vec![1, command];
        frame.extend((data.len() as u16 + status).to_le_bytes());
        frame.extend(value.to_le_bytes());
        frame.extend(data);
        frame.extend(vec![0; usize::from(status)]);
        self.send(&frame);
    }

    fn obey(&mut self, command: u8, data: &[u8]) {
        let (mut value, mut answer) = (0, Vec::new());
        match command {
            // READ_REG: the flash's answer to "who are you" is "4 MB".
            0x0a if word(data, 0) & 0xff == 0x58 => value = 0x16_4020,
            // GET_SECURITY_INFO.
            0x14 => {
                answer = vec![0; 20];
                answer[12..14].copy_from_slice(&self.chip.id.to_le_bytes());
            }
            // FLASH_DEFL_BEGIN.
            0x10 => {
                self.place = (word(data, 3), word(data, 0));
                self.packed.clear();
            }
            // FLASH_DEFL_DATA.
            0x11 => {
                self.packed.extend(&data[16..16 + word(data, 0)]);
                self.unpack();
            }
            // SPI_FLASH_MD5.
            0x13 => {
                let (at, len) = (word(data, 0), word(data, 1));
                let flash = self.flash.lock().unwrap();
                answer = Md5::digest(&flash[at..at + len]).to_vec();
            }
            _ => {}
        }
        // SYNC is answered eight times.
        for _ in 0..if command == 0x08 { 8 } else { 1 } {
            self.answer(command, value, &answer);
        }
        // MEM_END starts the stub, which greets.
        if command == 0x06 {
            self.in_stub = true;
            self.send(b"OHAI");
        }
    }

    fn unpack(&mut self) {
        let (at, len) = self.place;
        let mut bytes = Vec::new();
        let _ = ZlibDecoder::new(&self.packed[..]).read_to_end(&mut bytes);
        if bytes.len() == len {
            if self.fault == Fault::Worn {
                bytes[0] ^= 1;
            }
            self.flash.lock().unwrap()[at..at + len].copy_from_slice(&bytes);
        }
    }
}

/// Files for a chip.
struct Desk {
    folder: Folder,
    config: PathBuf,
    firmware: PathBuf,
    image: PathBuf,
}

impl Desk {
    fn new(chip: Chip) -> Self {
        let folder = Folder::new();
        let firmware = folder.path().join("firmware.elf");
        fs::write(&firmware, elf::firmware(chip).bytes()).unwrap();
        let config = folder.file("device.toml", CONFIG);
        let image = folder.path().join("device.bin");
        let mut command = aldis("image");
        command.args(["--chip", chip.name, "-o"]).arg(&image);
        command.arg("--config").arg(&config);
        command.arg("--firmware").arg(&firmware);
        assert!(command.output().unwrap().status.success());
        Self {
            folder,
            config,
            firmware,
            image,
        }
    }
}

/// The verb at a board that is in download mode: a pseudo-terminal has no line that resets.
fn flash(board: &Board) -> Command {
    let mut command = aldis("flash");
    command.args(["--no-reset", "--port", &board.port]);
    command
}

/// Runs it to its end; the exit code, standard output and standard error.
fn end(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    assert!(
        !out.contains("geheim") && !err.contains("geheim"),
        "{out}{err}"
    );
    (output.status.code(), out, err)
}

fn refused(command: &mut Command) -> String {
    let (code, _, said) = end(command);
    assert_eq!(code, Some(1), "{said}");
    said
}

/// What is flashed is not what `aldis image` makes, or the device forgets all it kept.
#[test]
fn an_image_is_written_and_what_is_kept_stays() {
    let desk = Desk::new(ESP32C3);
    let board = Board::new(ESP32C3, Fault::None);
    let before = board.flash();
    let mut command = flash(&board);
    let (code, out, said) = end(command.arg("--image").arg(&desk.image).arg("--no-follow"));
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(out, "");
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(lines[0], format!("connecting: {}", board.port));
    assert!(
        lines[1].starts_with("connected: esp32c3, revision 0.0, MAC "),
        "{said}"
    );
    assert!(lines[2].starts_with("writing: "), "{said}");
    assert!(
        lines[2].ends_with("the board's own id, network home, broker 192.168.1.107:1883"),
        "{said}"
    );
    for line in [
        "bootloader: verified",
        "configuration: verified",
        "application: verified",
    ] {
        assert!(lines.contains(&line), "{said}");
    }
    assert_eq!(
        lines.last(),
        Some(&"done: press the board's RESET (EN) button, it cannot be reset from here")
    );
    let (image, flash) = (fs::read(&desk.image).unwrap(), board.flash());
    assert!(flash[..image.len()] == image);
    assert!(
        flash[image.len().next_multiple_of(0x1000)..]
            == before[image.len().next_multiple_of(0x1000)..]
    );
    assert!(flash[STORE..] == before[STORE..]);

    // Again, there is nothing to do; to the bootloader it is another program.
    let mut command = aldis("flash");
    command.args(["--no-reset", "--no-follow", "--json", "--port", &board.port]);
    let (code, out, said) = end(command.arg("--image").arg(&desk.image));
    assert_eq!((code, &*said), (Some(0), ""));
    let events: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names: Vec<_> = events
        .iter()
        .map(|e| e["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "connecting",
            "connected",
            "writing",
            "unchanged",
            "unchanged",
            "unchanged",
            "done"
        ]
    );
    assert_eq!(events[1]["chip"], "esp32c3");
    assert_eq!(events[2]["parts"][2]["offset"], 0x1_0000);
    assert!(board.flash() == flash);
}

/// The short way leads elsewhere than the image.
#[test]
fn firmware_and_configuration_are_written_as_the_image_is() {
    let desk = Desk::new(ESP32C6);
    let board = Board::new(ESP32C6, Fault::None);
    let mut command = flash(&board);
    command
        .arg("--no-follow")
        .arg("--firmware")
        .arg(&desk.firmware);
    let (code, _, said) = end(command.arg("--config").arg(&desk.config));
    assert_eq!(code, Some(0), "{said}");
    let image = fs::read(&desk.image).unwrap();
    assert!(board.flash()[..image.len()] == image);
}

/// A new password means a new firmware.
#[test]
fn a_configuration_alone_leaves_everything_else() {
    let desk = Desk::new(ESP32C3);
    let board = Board::new(ESP32C3, Fault::None);
    let mut expected = board.flash();
    let mut command = flash(&board);
    command.args(["--no-follow", "--config-only", "--config"]);
    let (code, _, said) = end(command.arg(&desk.config));
    assert_eq!(code, Some(0), "{said}");
    let image = fs::read(&desk.image).unwrap();
    expected[0xb000..0xd000].copy_from_slice(&image[0xb000..0xd000]);
    assert!(board.flash() == expected);
}

/// The board's words are swallowed, or the program does not end.
#[test]
fn the_board_is_followed_until_ctrl_c() {
    let desk = Desk::new(ESP32C3);
    for json in [false, true] {
        let mut board = Board::new(ESP32C3, Fault::None);
        let mut command = flash(&board);
        command
            .args(["--config-only", "--config"])
            .arg(&desk.config);
        if json {
            command.arg("--json");
        }
        let mut program = Program::start(&mut command);
        program.wait_for_text("done");
        board.say("device: aldis\r\n");
        thread::sleep(Duration::from_millis(500));
        board.say("wifi: connected\r\npanic");
        match json {
            false => {
                program.wait_for_line("device: aldis");
                program.wait_for_line("wifi: connected");
            }
            true => {
                program.wait_for_line(r#"{"event":"log","line":"device: aldis"}"#);
                program.wait_for_line(r#"{"event":"log","line":"wifi: connected"}"#);
                program.wait_for_line(r#"{"event":"log","line":"panic"}"#);
            }
        }
        let id = program.id().to_string();
        let asked = Command::new("kill").args(["-INT", &id]).status();
        assert!(asked.unwrap().success());
        let (status, _) = program.finish();
        assert_eq!(status.code(), Some(0));
    }
}

/// Who only wants to listen would have to write something.
#[test]
fn a_board_that_runs_is_followed_and_left_alone() {
    let mut board = Board::new(ESP32C3, Fault::None);
    let before = board.flash();
    let mut command = aldis("flash");
    command.args(["--follow-only", "--port", &board.port]);
    let mut program = Program::start(&mut command);
    program.wait_for_line(&format!("following: {}", board.port));
    board.say("sensor: ok\r\nlamp: on\r\n");
    program.wait_for_line("sensor: ok");
    program.wait_for_line("lamp: on");
    program.signal("-INT");
    let (status, _) = program.finish();
    assert_eq!(status.code(), Some(0));
    assert_eq!(board.flash(), before);
    let wrong = aldis("flash")
        .args(["--follow-only", "--config", "device.toml"])
        .output();
    assert_eq!(wrong.unwrap().status.code(), Some(2));
}

/// A board that is pulled out leaves a program that waits for ever.
#[test]
fn a_board_that_is_pulled_out_is_noticed() {
    let desk = Desk::new(ESP32C3);
    let board = Board::new(ESP32C3, Fault::None);
    let mut command = flash(&board);
    command.args(["--config-only", "--config"]);
    let mut program = Program::start(command.arg(&desk.config));
    program.wait_for_text("done");
    drop(board);
    program.wait_for_text("aldis: the board is gone");
    assert_eq!(program.finish().0.code(), Some(1));
}

/// Somebody waits for a board that does not answer, or is not told about BOOT.
#[test]
fn a_silent_board_is_explained_soon() {
    let desk = Desk::new(ESP32C3);
    let board = Board::new(ESP32C3, Fault::Deaf);
    for reset in [true, false] {
        let mut command = aldis("flash");
        command.args(["--port", &board.port]);
        if !reset {
            command.arg("--no-reset");
        }
        let began = Instant::now();
        let said = refused(command.arg("--image").arg(&desk.image));
        assert!(said.contains("does not answer"), "{said}");
        assert!(said.contains("hold its BOOT button"), "{said}");
        assert!(began.elapsed() < Duration::from_secs(20));
    }
}

/// A board is written with what is for another, and does not start any more.
#[test]
fn another_chip_is_left_alone() {
    let desk = Desk::new(ESP32C6);
    let board = Board::new(ESP32C3, Fault::None);
    let before = board.flash();
    let said = refused(flash(&board).arg("--image").arg(&desk.image));
    assert!(
        said.contains("the board has an esp32c3, but ") && said.contains("is for the esp32c6"),
        "{said}"
    );
    let esp32s2 = Chip { id: 2, ..ESP32C3 };
    let other = Board::new(esp32s2, Fault::None);
    let said = refused(flash(&other).arg("--image").arg(&desk.image));
    assert!(said.contains("for which there is no firmware"), "{said}");
    assert!(board.flash() == before);
}

/// A worn flash starts a firmware that is not what was written.
#[test]
fn what_is_written_is_read_back() {
    let desk = Desk::new(ESP32C3);
    let board = Board::new(ESP32C3, Fault::Worn);
    let said = refused(flash(&board).arg("--image").arg(&desk.image));
    assert!(
        said.contains("what is read back is not what was written"),
        "{said}"
    );
}

/// A board is reset, or waited for, although the files cannot be right.
#[test]
fn files_are_checked_before_the_board() {
    let desk = Desk::new(ESP32C3);
    let board = Board::new(ESP32C3, Fault::Deaf);
    let firmware = desk.firmware.to_str().unwrap();
    let config = desk.config.to_str().unwrap();
    let image = desk.image.to_str().unwrap();
    let broken = desk
        .folder
        .file("broken.toml", "[broker]\nurl = 'mqtts://hub'\n");
    let broken = broken.to_str().unwrap();
    for (args, expected) in [
        (
            vec!["--image", firmware],
            "is an ELF file: name it with `--firmware`",
        ),
        (vec!["--image", "none.bin"], "none.bin: cannot be read"),
        (vec!["--image", config], "is no image of a board's flash"),
        (
            vec!["--image", image, "--chip", "esp32"],
            "is for the esp32c3, and not for the esp32",
        ),
        (
            vec!["--firmware", config, "--config", config],
            "is no ELF file",
        ),
        (
            vec!["--firmware", firmware, "--config", broken],
            "boards do not speak TLS yet",
        ),
        (
            vec!["--config-only", "--config", broken],
            "boards do not speak TLS yet",
        ),
    ] {
        let said = refused(flash(&board).args(args));
        assert!(said.contains(expected), "{said}");
        assert!(!said.contains("connecting"), "{said}");
    }
}

/// Words of the operating system, or a usage that is taken for a failure.
#[test]
fn ports_and_usage_are_explained() {
    let desk = Desk::new(ESP32C3);
    let image = desk.image.to_str().unwrap();
    let said = refused(aldis("flash").args(["--port", "/dev/ttyNone", "--image", image]));
    assert!(
        said.contains("/dev/ttyNone: there is no such port"),
        "{said}"
    );
    let said = refused(aldis("flash").args(["--port", image, "--image", image]));
    assert!(said.contains("is it a serial port?"), "{said}");

    let board = Board::new(ESP32C3, Fault::Deaf);
    let _other = serialport::new(&board.port, 115_200).open().unwrap();
    let said = refused(flash(&board).args(["--image", image]));
    assert!(said.contains("is in use: end the program"), "{said}");

    for args in [
        vec![],
        vec!["--firmware", image],
        vec!["--config-only"],
        vec!["--image", image, "--config", "device.toml"],
        vec!["--image", image, "--config-only"],
        vec!["--image", image, "--baud", "300"],
        vec!["--image", image, "--chip", "virt"],
    ] {
        let (code, out, said) = end(aldis("flash").args(&args));
        assert_eq!((code, &*out), (Some(2), ""), "{args:?}: {said}");
    }
}

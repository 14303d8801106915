//! `aldis image` as a user runs it; the files that it makes are taken apart here by other means
//! than it used.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aldis_flash::config::{Level, Messages, Morse, Presets, Screen, Wifi};
use md5::Md5;
use serde_json::Value;
use sha2::{Digest, Sha256};

use common::elf::{self, CHIPS, Chip, ESP32, ESP32C3, Elf, RISCV};
use common::{Folder, aldis};

const CONFIG: &str = r#"
id = "kitchen"
[wifi]
ssid = "home"
password = "geheim-42"
[broker]
url = "mqtt://me:geheim@192.168.1.107"
[messages]
reply = "Coming"
presets = ["Come down", "Call me"]
[morse]
wpm = 20
[screen]
rotated = true
[console]
level = "debug"
"#;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// A folder with a configuration and a firmware.
struct Desk {
    folder: Folder,
    chip: &'static str,
    config: PathBuf,
    firmware: PathBuf,
}

impl Desk {
    fn new(chip: Chip) -> Self {
        Self::with(chip, CONFIG, &elf::firmware(chip).bytes())
    }

    fn with(chip: Chip, config: &str, firmware: &[u8]) -> Self {
        let folder = Folder::new();
        let elf = folder.path().join("firmware.elf");
        fs::write(&elf, firmware).unwrap();
        Self {
            chip: chip.name,
            config: folder.file("device.toml", config),
            firmware: elf,
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, output: &str) -> Command {
        let mut command = aldis("image");
        command.args(["--chip", self.chip]).arg("--config");
        command.arg(&self.config).arg("--firmware");
        command.arg(&self.firmware).arg("-o").arg(self.path(output));
        command
    }

    /// Makes the image, and gives it.
    fn image(&self) -> Vec<u8> {
        let output = self.command("device.bin").output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        fs::read(self.path("device.bin")).unwrap()
    }

    /// Expects a refusal without a file; gives what was said.
    fn refusal(&self) -> String {
        let output = self.command("device.bin").output().unwrap();
        let said = refused(&output);
        assert!(!self.path("device.bin").exists());
        said
    }
}

fn refused(output: &Output) -> String {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(text(&output.stdout), "");
    assert!(!said.contains("geheim"), "{said}");
    said.to_owned()
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// A program in the flash: where each segment goes, where it is in the image, and its bytes.
struct Program {
    chip: u16,
    min_revision: u16,
    mode: u8,
    size_and_speed: u8,
    segments: Vec<(u32, usize, Vec<u8>)>,
    len: usize,
}

/// Takes the image of a bootloader or an application apart, as the ROM and the bootloader do:
/// <https://docs.espressif.com/projects/esptool/en/latest/esp32/advanced-topics/firmware-image-format.html>
fn program(image: &[u8]) -> Program {
    assert_eq!(image[0], 0xe9, "the magic byte");
    assert_eq!(image[23], 1, "a digest follows");
    let mut at = 24;
    let mut checksum = 0xef;
    let mut segments = Vec::new();
    for _ in 0..image[1] {
        let (address, len) = (u32_at(image, at), u32_at(image, at + 4) as usize);
        assert_eq!(len % 4, 0);
        let data = &image[at + 8..at + 8 + len];
        checksum = data.iter().fold(checksum, |sum, byte| sum ^ byte);
        segments.push((address, at + 8, data.to_vec()));
        at += 8 + len;
    }
    let end = (at + 16) / 16 * 16;
    assert_eq!(image[end - 1], checksum, "the checksum");
    let digest = Sha256::digest(&image[..end]);
    assert_eq!(image[end..end + 32], digest[..], "the digest");
    Program {
        chip: u16_at(image, 12),
        min_revision: u16_at(image, 15),
        mode: image[2],
        size_and_speed: image[3],
        segments,
        len: end + 32,
    }
}

/// Takes a partition table apart:
/// <https://docs.espressif.com/projects/esp-idf/en/latest/esp32/api-guides/partition-tables.html>
fn partitions(table: &[u8]) -> Vec<(String, u8, u8, u32, u32)> {
    let mut found = Vec::new();
    for (number, entry) in table.chunks_exact(32).enumerate() {
        match u16_at(entry, 0) {
            0x50aa => {
                let name = entry[12..28].split(|byte| *byte == 0).next().unwrap();
                let (offset, len) = (u32_at(entry, 4), u32_at(entry, 8));
                assert_eq!(u32_at(entry, 28), 0, "flags");
                found.push((text(name).to_owned(), entry[2], entry[3], offset, len));
            }
            0xebeb => {
                assert!(entry[2..16].iter().all(|byte| *byte == 0xff));
                assert_eq!(entry[16..], Md5::digest(&table[..number * 32])[..]);
                let rest = &table[(number + 1) * 32..];
                assert!(rest.iter().all(|byte| *byte == 0xff));
                return found;
            }
            other => panic!("{other:x} in a partition table"),
        }
    }
    panic!("a partition table without a checksum");
}

fn is_erased(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0xff)
}

/// A board that does not start, starts without its configuration, or forgets when it is flashed.
#[test]
fn an_image_has_everything_where_it_belongs() {
    for chip in CHIPS {
        let firmware = elf::firmware(chip);
        let bytes = firmware.bytes();
        let image = Desk::with(chip, CONFIG, &bytes).image();

        assert!(is_erased(&image[..chip.boot]), "{}", chip.name);
        let bootloader = program(&image[chip.boot..]);
        assert_eq!(bootloader.chip, chip.id);
        assert!(is_erased(&image[chip.boot + bootloader.len..0x8000]));

        let expected = [
            ("otadata", 1, 0, 0x9000, 0x2000),
            ("config", 1, 6, 0xb000, 0x2000),
            ("ota_0", 0, 0x10, 0x1_0000, 0x1e_0000),
            ("ota_1", 0, 0x11, 0x1f_0000, 0x1e_0000),
            ("store", 1, 6, 0x3d_0000, 0x3_0000),
        ];
        let expected = expected.map(|(name, a, b, c, d)| (name.to_owned(), a, b, c, d));
        assert_eq!(partitions(&image[0x8000..0x9000]), expected);

        assert!(is_erased(&image[0x9000..0xb000]), "otadata");
        let config = aldis_flash::Config::decode(&image[0xb000..0xd000]).unwrap();
        let expected = aldis_flash::Config {
            id: Some("kitchen"),
            wifi: Some(Wifi {
                ssid: "home",
                password: Some("geheim-42"),
                country: None,
            }),
            username: Some("me"),
            password: Some(b"geheim"),
            messages: Messages {
                reply: Some("Coming"),
                presets: Presets::new(["Come down", "Call me"]).unwrap(),
                peer: None,
            },
            morse: Morse {
                key: false,
                wpm: 20,
            },
            screen: Screen {
                address: 0x3c,
                rotated: true,
            },
            level: Level::Debug,
            ..aldis_flash::Config::new("192.168.1.107", 1883)
        };
        assert_eq!(config, expected);
        assert!(is_erased(&image[0xc000..0x1_0000]));

        let application = &image[0x1_0000..];
        let program = program(application);
        assert_eq!(program.len, application.len(), "something follows");
        assert_eq!(program.chip, chip.id);
        check_segments(chip, &firmware, &bytes, &program);
    }
}

/// What the application's segments should be.
fn check_segments(chip: Chip, firmware: &Elf, file: &[u8], program: &Program) {
    let (address, at, first) = &program.segments[0];
    assert_eq!((*address, *at), (chip.addresses[0], 32), "the description");
    assert_eq!(first[144..176], Sha256::digest(file)[..]);
    for section in &firmware.sections {
        // Its bytes are in one segment or, where it filled a gap, in two.
        let mut loaded: Vec<u8> = Vec::new();
        let mut segments = program.segments.clone();
        segments.sort();
        for (address, at, data) in &segments {
            let next = section.address + loaded.len() as u32;
            let Some(skip) = next.checked_sub(*address) else {
                continue;
            };
            let rest = data.get(skip as usize..).unwrap_or_default();
            let wanted = section.data.len() - loaded.len();
            loaded.extend(&rest[..rest.len().min(wanted)]);
            // The MMU maps whole pages.
            if section.name == ".text" && !rest.is_empty() {
                assert_eq!(*at as u32 % 0x1_0000, *address % 0x1_0000);
            }
        }
        let mut data = section.data.clone();
        if section.name == ".flash.appdesc" {
            data[144..176].copy_from_slice(&Sha256::digest(file));
        }
        assert_eq!(loaded, data, "{} of the {}", section.name, chip.name);
    }
}

/// The bootloader refuses the chip, or reads the flash as the board's is not connected.
#[test]
fn every_revision_and_board_is_welcome() {
    for chip in CHIPS {
        let image = Desk::new(chip).image();
        for at in [chip.boot, 0x1_0000] {
            let program = program(&image[at..]);
            let dio = 2;
            assert_eq!(program.mode, dio, "{} at {at:#x}", chip.name);
            // 4 MB in the upper half; in the lower 40 MHz, which the ESP32-C6 takes for 80.
            assert_eq!(program.size_and_speed, 0x20, "{} at {at:#x}", chip.name);
            let max = u16_at(&image, at + 17);
            // The oldest ESP32-C3 that was sold is 0.3.
            let min = if chip.name == "esp32c3" && at == chip.boot {
                3
            } else {
                0
            };
            assert_eq!(program.min_revision, min, "{} at {at:#x}", chip.name);
            assert!(max >= 99, "{} at {at:#x}: {max}", chip.name);
        }
    }
}

/// Success that does not say what comes next, or says the password.
#[test]
fn success_is_told() {
    let desk = Desk::new(ESP32C3);
    let output = desk.command("device.bin").output().unwrap();
    assert_eq!(text(&output.stderr), "");
    let len = fs::metadata(desk.path("device.bin")).unwrap().len();
    let path = desk.path("device.bin");
    let path = path.display();
    assert_eq!(
        text(&output.stdout),
        format!(
            "chip: esp32c3\n\
             application: {} bytes, 4 % of its slot\n\
             configuration: kitchen, network home, broker 192.168.1.107:1883\n\
             written: {path}, {len} bytes\n\
             next: aldis flash --port /dev/ttyUSB0 --image {path}\n",
            len - 0x1_0000
        )
    );
    let output = desk.command("other.bin").arg("--json").output().unwrap();
    let object: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(object["event"], "written");
    assert_eq!(object["chip"], "esp32c3");
    assert_eq!(object["application"], len - 0x1_0000);
    assert_eq!(object["slot"], 0x1e_0000);
    assert_eq!(object["broker"], "192.168.1.107:1883");
    assert_eq!(object["size"], len);
    assert!(!text(&output.stdout).contains("geheim"));
    assert_eq!(text(&output.stdout).lines().count(), 1);
}

/// The file with the passwords is everybody's.
#[cfg(unix)]
#[test]
fn the_file_is_its_owners() {
    use std::os::unix::fs::PermissionsExt;
    let desk = Desk::new(ESP32C3);
    desk.image();
    let mode = fs::metadata(desk.path("device.bin")).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o600);
}

/// One error at a time, or without the place.
#[test]
fn everything_wrong_is_said_at_once() {
    let config = "[broker]\nurl = 'mqtts://me:geheim@localhost'\n[pins]\nled = 6\nsda = 22\n\
                  dht22 = 34\ncolour = 1\n[messages]\npresets = ['Call me', '']\n\
                  [morse]\nwpm = 50\n[screen]\nadress = 0x3C\n";
    let desk = Desk::with(ESP32, config, b"MZ");
    let said = desk.refusal();
    let lines: Vec<_> = said.lines().collect();
    let config = desk.config.display();
    let expected = [
        format!("aldis: {config}:2: `url = \"mqtts://...@localhost\"` in [broker]: boards do not"),
        format!("{config}:2: `url = \"mqtts://...@localhost\"` in [broker]: is the board itself"),
        format!("{config}:4: `led = 6` in [pins]: the flash is connected to it"),
        format!("{config}:5: `sda = 22` in [pins]: is the GPIO of `scl` on the esp32, unless"),
        format!("{config}:6: `dht22 = 34` in [pins]: GPIO34 to GPIO39 of the ESP32 are inputs"),
        format!("{config}:7: unknown key `colour` in [pins]: known are"),
        format!("{config}:9: `presets = [...]` in [messages]: number 2, \"\", should be one line"),
        format!("{config}:11: `wpm = 50` in [morse]: should be a whole number"),
        format!("{config}:13: unknown key `adress` in [screen]: did you mean `address`?"),
        format!("{config}: there is no [wifi] with a `ssid`: the esp32 needs"),
        format!(
            "{}: is no ELF file: name the file that",
            desk.firmware.display()
        ),
    ];
    assert_eq!(lines.len(), expected.len(), "{said}");
    for (line, start) in lines.iter().zip(&expected) {
        assert!(line.starts_with(start), "{line}\n{start}");
    }
}

/// A lamp on the console's pin, without a word.
#[test]
fn what_is_odd_is_warned_about() {
    let config = format!("{CONFIG}[pins]\nled = 1\n");
    let desk = Desk::with(ESP32, &config, &elf::firmware(ESP32).bytes());
    let output = desk.command("device.bin").output().unwrap();
    assert!(output.status.success());
    let said = text(&output.stderr);
    assert!(said.starts_with("aldis: warning: "), "{said}");
    assert!(
        said.contains("`led = 1` in [pins]: the console speaks on it"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1);

    let config = CONFIG.replace("wpm = 20", "key = true");
    let desk = Desk::with(ESP32, &config, &elf::firmware(ESP32).bytes());
    let output = desk.command("device.bin").output().unwrap();
    assert!(output.status.success());
    let said = text(&output.stderr);
    let lines: Vec<_> = said.lines().collect();
    let path = desk.config.display();
    for (line, key) in lines.iter().zip(["reply = \"Coming\"", "presets = [...]"]) {
        let start = format!("aldis: warning: {path}:");
        assert!(line.starts_with(&start), "{said}");
        assert!(
            line.contains(&format!("`{key}` in [messages]: cannot be sent")),
            "{said}"
        );
    }
    assert_eq!(lines.len(), 2, "{said}");
}

/// An ELF file that is not for the board is found out when the board does not start.
#[test]
fn firmware_that_cannot_start_is_refused() {
    let refusal = |chip: Chip, change: fn(&mut Elf)| {
        let mut firmware = elf::firmware(chip);
        change(&mut firmware);
        Desk::with(chip, CONFIG, &firmware.bytes()).refusal()
    };
    for (chip, change, expected) in [
        (
            ESP32C3,
            (|elf| (elf.class, elf.machine) = (2, 62)) as fn(&mut Elf),
            "is a program for an x86-64 PC, and not firmware for the esp32c3",
        ),
        (
            ESP32,
            |elf| elf.machine = RISCV,
            "is a program for a RISC-V chip (esp32c3, esp32c6), and not firmware for the esp32",
        ),
        (
            ESP32C3,
            |elf| elf.metadata[0].1 = "esp32c6".into(),
            "is firmware for the esp32c6, and not for the esp32c3: name that one with `--chip esp32c6`",
        ),
        (
            ESP32C3,
            |elf| elf.metadata[0].1 = "esp32h2".into(),
            "is firmware for the esp32h2, and not for the esp32c3: build it for one of esp32,",
        ),
        (
            ESP32,
            |elf| elf.metadata[1].1 = "300".into(),
            "would not start on an ESP32 older than revision 3.0",
        ),
        (
            ESP32C3,
            |elf| elf.section(".flash.appdesc").name = ".other",
            "has no description for the bootloader",
        ),
        (
            ESP32C3,
            |elf| elf.section(".flash.appdesc").data[0] = 0,
            "is damaged (section .flash.appdesc)",
        ),
        (
            ESP32,
            |elf| {
                elf.metadata.clear();
                elf.section(".flash.appdesc").address = 0x3c00_0020;
            },
            "where the esp32 has no flash: is it firmware for another chip?",
        ),
        (
            ESP32C3,
            |elf| elf.section(".rodata").address -= 8,
            "is damaged (sections .flash.appdesc and .rodata overlap)",
        ),
        (
            ESP32C3,
            |elf| elf.section(".text").data = elf::noise(0x1e_0000, 5),
            "and its slot in the flash 1966080: build it with `--release`",
        ),
    ] {
        let said = refusal(chip, change);
        assert!(said.contains(expected), "{said}");
    }
    let image = Desk::new(ESP32C3).image();
    let said = Desk::with(ESP32C3, CONFIG, &image).refusal();
    assert!(said.contains("is an image already"), "{said}");
    let mut desk = Desk::new(ESP32C3);
    desk.firmware = desk.path("none.elf");
    assert!(
        desk.refusal()
            .contains("none.elf: there is no such file: build it first, in the folder boards/esp")
    );
}

/// Firmware that fits is refused.
#[test]
fn a_full_slot_is_allowed() {
    let mut firmware = elf::firmware(ESP32C3);
    // Up to the last pages, with the padding that the mapping needs.
    firmware.section(".text").data = elf::noise(0x1c_f000, 5);
    let image = Desk::with(ESP32C3, CONFIG, &firmware.bytes()).image();
    assert!(image.len() > 0x1d_0000 && image.len() <= 0x1f_0000);
}

/// A full disk or a typo leaves half a file, or a good one is gone.
#[test]
fn a_file_is_there_as_a_whole_or_not_at_all() {
    let desk = Desk::new(ESP32C3);
    let output = desk.command("none/device.bin").output().unwrap();
    assert!(refused(&output).contains("device.bin: cannot be written: No such file"));
    fs::create_dir(desk.path("folder")).unwrap();
    let output = desk.command("folder").output().unwrap();
    assert!(refused(&output).contains("is there and is no file"));
    let mut command = without_firmware("esp32", &desk.config, Path::new("/dev/null"));
    let output = command.arg("--config-only").output().unwrap();
    assert!(refused(&output).contains("/dev/null: is there and is no file"));

    let before = desk.image();
    fs::write(&desk.config, "[wifi]\n").unwrap();
    let output = desk.command("device.bin").output().unwrap();
    refused(&output);
    assert_eq!(fs::read(desk.path("device.bin")).unwrap(), before);
    let mut names: Vec<_> = fs::read_dir(desk.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["device.bin", "device.toml", "firmware.elf", "folder"]
    );
}

fn without_firmware(chip: &str, config: &Path, output: &Path) -> Command {
    let mut command = aldis("image");
    command.args(["--chip", chip]).arg("--config").arg(config);
    command.arg("-o").arg(output);
    command
}

/// The partition is written with rests of the old configuration behind the new one.
#[test]
fn a_configuration_alone_is_a_whole_partition() {
    let desk = Desk::new(ESP32);
    let whole = desk.image();
    let output = desk.path("config.bin");
    for chip in CHIPS {
        let mut command = without_firmware(chip.name, &desk.config, &output);
        let said = command.arg("--config-only").output().unwrap();
        assert!(said.status.success(), "{}", text(&said.stderr));
        assert!(text(&said.stdout).contains("write-flash 0xb000 "));
        assert_eq!(fs::read(&output).unwrap(), whole[0xb000..0xd000]);
    }
    let mut command = without_firmware("virt", &desk.config, &output);
    let said = command.arg("--config-only").output().unwrap();
    assert!(said.status.success(), "{}", text(&said.stderr));
    let partition = fs::read(&output).unwrap();
    assert_eq!(partition.len(), 0x4_0000);
    assert_eq!(partition[..0x2000], whole[0xb000..0xd000]);
    assert!(is_erased(&partition[0x2000..]));
}

/// Somebody's configuration, firmware or anything else is gone.
#[test]
fn what_is_none_of_ours_is_not_written_over() {
    let desk = Desk::new(ESP32C3);
    let notes = desk.folder.file("notes.txt", "milk");
    let firmware = fs::read(&desk.firmware).unwrap();
    let config = fs::read(&desk.config).unwrap();
    for (output, why) in [
        ("device.toml", "is the configuration itself"),
        ("firmware.elf", "is the firmware itself"),
        ("notes.txt", "is there and is no image of a board's flash"),
    ] {
        let said = refused(&desk.command(output).output().unwrap());
        assert!(said.contains(why) && said.contains("--output"), "{said}");
    }
    // Of ours, but the other one.
    desk.image();
    let image = desk.path("device.bin");
    for (output, why) in [
        (&image, "is there and is no configuration"),
        (&desk.config, "is the configuration itself"),
        (&notes, "is there and is no configuration"),
    ] {
        let mut command = without_firmware("esp32c3", &desk.config, output);
        let said = refused(&command.arg("--config-only").output().unwrap());
        assert!(said.contains(why), "{said}");
    }
    assert_eq!(fs::read(&desk.firmware).unwrap(), firmware);
    assert_eq!(fs::read(&desk.config).unwrap(), config);
    assert_eq!(fs::read(&notes).unwrap(), b"milk");
    // An image takes the place of an image.
    desk.image();
}

/// QEMU does not take the file, or the device in it forgets with every new configuration.
#[test]
fn the_virtual_flash_keeps_what_is_in_it() {
    let folder = Folder::new();
    let flash = folder.path().join("flash.img");
    let config = folder.file("a.toml", "id = 'a'\n[broker]\nurl = 'mqtt://10.0.2.2'\n");
    let said = without_firmware("virt", &config, &flash).output().unwrap();
    assert!(said.status.success(), "{}", text(&said.stderr));
    let path = flash.display();
    assert_eq!(
        text(&said.stdout),
        format!(
            "chip: virt\nconfiguration: a, broker 10.0.2.2:1883\nwritten: {path}, 33554432 bytes\n\
             next: qemu-system-riscv32 -machine virt -m 16M -nographic \
             -device virtio-net-device,netdev=n0 -netdev user,id=n0 \
             -drive if=pflash,unit=1,format=raw,file={path} -bios \
             boards/virt/target/riscv32imac-unknown-none-elf/release/aldis-virt \
             (Ctrl-A X ends it)\n"
        )
    );
    let mut kept = fs::read(&flash).unwrap();
    assert_eq!(kept.len(), 32 << 20);
    assert_eq!(aldis_flash::Config::decode(&kept).unwrap().id, Some("a"));
    assert!(is_erased(&kept[aldis_flash::config::MAX_LEN..]));

    let store = elf::noise(0x18_0000, 7);
    kept[0x4_0000..0x1c_0000].copy_from_slice(&store);
    fs::write(&flash, &kept).unwrap();
    let config = folder.file("b.toml", "id = 'b'\n[broker]\nurl = 'mqtt://10.0.2.2'\n");
    let said = without_firmware("virt", &config, &flash).output().unwrap();
    assert!(said.status.success(), "{}", text(&said.stderr));
    assert!(text(&said.stdout).contains("what the device keeps stays"));
    let changed = fs::read(&flash).unwrap();
    assert_eq!(aldis_flash::Config::decode(&changed).unwrap().id, Some("b"));
    assert_eq!(changed.len(), kept.len());
    assert!(changed[0x4_0000..] == kept[0x4_0000..]);

    fs::write(&flash, b"something else").unwrap();
    let said = refused(&without_firmware("virt", &config, &flash).output().unwrap());
    assert!(
        said.contains("has 14 bytes, but QEMU's flash has 33554432"),
        "{said}"
    );
    assert_eq!(fs::read(&flash).unwrap(), b"something else");
}

/// A verb that is used wrongly fails like one whose work failed.
#[test]
fn wrong_usage_is_exit_code_2() {
    let desk = Desk::new(ESP32);
    let output = desk.path("x.bin");
    let usage = |command: &mut Command, expected: &str| {
        let said = command.output().unwrap();
        assert_eq!(said.status.code(), Some(2));
        assert!(
            text(&said.stderr).contains(expected),
            "{}",
            text(&said.stderr)
        );
        assert!(!output.exists());
    };
    usage(
        &mut without_firmware("esp32", &desk.config, &output),
        "the firmware is missing: name it with `--firmware ELF`",
    );
    usage(
        without_firmware("virt", &desk.config, &output)
            .arg("--firmware")
            .arg(&desk.firmware),
        "`virt` has no firmware in its flash",
    );
    usage(
        desk.command("x.bin").arg("--config-only"),
        "cannot be used with",
    );
    usage(
        &mut without_firmware("esp32s2", &desk.config, &output),
        "[possible values: esp32, esp32c3, esp32c6, esp32s3, virt]",
    );
}

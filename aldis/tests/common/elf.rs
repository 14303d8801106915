//! Firmware that does nothing, as an ELF file.

/// A chip, by what an ELF file and an image say of it.
#[derive(Clone, Copy, Debug)]
pub struct Chip {
    pub name: &'static str,
    pub machine: u16,
    /// The number in the headers of images.
    pub id: u16,
    /// Where the bootloader is.
    pub boot: usize,
    /// Where constants, code in flash, code in memory and data in memory begin.
    pub addresses: [u32; 4],
}

pub const RISCV: u16 = 243;
pub const XTENSA: u16 = 94;

pub const ESP32: Chip = Chip {
    name: "esp32",
    machine: XTENSA,
    id: 0,
    boot: 0x1000,
    addresses: [0x3f40_0020, 0x400d_0020, 0x4008_0400, 0x3ffb_0000],
};
pub const ESP32C3: Chip = Chip {
    name: "esp32c3",
    machine: RISCV,
    id: 5,
    boot: 0,
    addresses: [0x3c00_0020, 0x4201_0020, 0x4038_0000, 0x3fc8_8000],
};
pub const ESP32C6: Chip = Chip {
    name: "esp32c6",
    machine: RISCV,
    id: 13,
    boot: 0,
    addresses: [0x4200_0020, 0x4202_0020, 0x4080_0000, 0x4081_0000],
};
pub const ESP32S3: Chip = Chip {
    name: "esp32s3",
    machine: XTENSA,
    id: 9,
    boot: 0,
    addresses: [0x3c00_0020, 0x4201_0020, 0x4037_8000, 0x3fc9_0000],
};
pub const CHIPS: [Chip; 4] = [ESP32, ESP32C3, ESP32C6, ESP32S3];

/// A section.
pub struct Section {
    pub name: &'static str,
    pub address: u32,
    pub data: Vec<u8>,
    /// It is loaded.
    pub alloc: bool,
}

/// An ELF file to be.
pub struct Elf {
    pub class: u8,
    pub machine: u16,
    pub sections: Vec<Section>,
    /// What the firmware says of itself.
    pub metadata: Vec<(&'static str, String)>,
}

/// The description that the bootloader looks for.
pub fn description() -> Vec<u8> {
    let mut description = vec![0; 256];
    description[..4].copy_from_slice(&0xabcd_5432_u32.to_le_bytes());
    description[16..22].copy_from_slice(b"v0.1.0");
    description[48..57].copy_from_slice(b"aldis-esp");
    description[180] = 16;
    description
}

/// Bytes that are not all the same.
pub fn noise(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let bytes = (0..len).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    bytes.collect()
}

/// Firmware for a chip.
pub fn firmware(chip: Chip) -> Elf {
    let [constants, code, iram, dram] = chip.addresses;
    let section = |name, address, data| Section {
        name,
        address,
        data,
        alloc: true,
    };
    Elf {
        class: 1,
        machine: chip.machine,
        sections: vec![
            section(".flash.appdesc", constants, description()),
            section(".rodata", constants + 256, noise(1_001, 1)),
            section(".text", code, noise(3_000, 2)),
            section(".rwtext", iram, noise(402, 3)),
            section(".data", dram, noise(64, 4)),
        ],
        metadata: vec![
            ("build_info.CHIP_NAME", chip.name.into()),
            ("build_info.MIN_CHIP_REVISION", "0".into()),
        ],
    }
}

impl Elf {
    pub fn section(&mut self, name: &str) -> &mut Section {
        let found = self.sections.iter_mut().find(|s| s.name == name);
        found.expect("a section")
    }

    /// The file.
    pub fn bytes(&self) -> Vec<u8> {
        const HEADER: usize = 52;
        const PROGRAM: usize = 32;
        let loaded: Vec<_> = self.sections.iter().filter(|s| s.alloc).collect();
        let mut file = vec![0; HEADER + PROGRAM * loaded.len()];
        let mut names = vec![0];
        // Each: name, type, flags, address, offset, length, link, info, alignment, entry.
        let mut headers: Vec<[u32; 10]> = vec![[0; 10]];
        let mut add = |file: &mut Vec<u8>, name: &str, fields: [u32; 3], data: &[u8]| {
            let [kind, flags, address] = fields;
            while !file.len().is_multiple_of(4) {
                file.push(0);
            }
            let at = file.len() as u32;
            file.extend(data);
            let len = data.len() as u32;
            headers.push([
                names.len() as u32,
                kind,
                flags,
                address,
                at,
                len,
                0,
                0,
                4,
                0,
            ]);
            names.extend(name.bytes().chain([0]));
            headers.len() - 1
        };
        for section in &self.sections {
            let flags = if section.alloc { 2 } else { 0 };
            add(
                &mut file,
                section.name,
                [1, flags, section.address],
                &section.data,
            );
        }
        let mut values = Vec::new();
        let mut symbols = vec![0; 16];
        let mut strings = vec![0];
        let index = self.sections.len() + 1;
        for (name, value) in &self.metadata {
            let words = [strings.len(), values.len(), value.len()];
            symbols.extend(words.iter().flat_map(|word| (*word as u32).to_le_bytes()));
            symbols.extend([0x11, 0]);
            symbols.extend((index as u16).to_le_bytes());
            strings.extend(name.bytes().chain([0]));
            values.extend(value.bytes());
        }
        if !self.metadata.is_empty() {
            add(&mut file, ".espressif.metadata", [1, 0, 0], &values);
            let table = add(&mut file, ".symtab", [2, 0, 0], &symbols);
            let link = add(&mut file, ".strtab", [3, 0, 0], &strings);
            headers[table][6] = link as u32;
            headers[table][7] = 1;
            headers[table][9] = 16;
        }
        let name = names.len() as u32;
        names.extend(b".shstrtab\0");
        let at = file.len() as u32;
        headers.push([name, 3, 0, 0, at, names.len() as u32, 0, 0, 1, 0]);
        file.extend(&names);
        while !file.len().is_multiple_of(4) {
            file.push(0);
        }
        let table = file.len() as u32;
        for header in &headers {
            file.extend(header.iter().flat_map(|field| field.to_le_bytes()));
        }
        for (number, section) in loaded.iter().enumerate() {
            let header = headers.iter().find(|header| header[3] == section.address);
            let [_, _, _, address, at, len, ..] = *header.expect("a header");
            let fields = [1, at, address, address, len, len, 5, 4];
            let place = HEADER + number * PROGRAM;
            for (word, field) in file[place..].chunks_exact_mut(4).zip(fields) {
                word.copy_from_slice(&u32::to_le_bytes(field));
            }
        }
        file[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', self.class, 1, 1, 0]);
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        let entry = self.sections.iter().find(|s| s.name == ".rwtext");
        put(16, &2_u16.to_le_bytes());
        put(18, &self.machine.to_le_bytes());
        put(20, &1_u32.to_le_bytes());
        put(24, &entry.map_or(0, |s| s.address).to_le_bytes());
        put(28, &(HEADER as u32).to_le_bytes());
        put(32, &table.to_le_bytes());
        let sizes = [
            HEADER,
            PROGRAM,
            loaded.len(),
            40,
            headers.len(),
            headers.len() - 1,
        ];
        for (number, size) in sizes.into_iter().enumerate() {
            put(40 + 2 * number, &(size as u16).to_le_bytes());
        }
        file
    }
}

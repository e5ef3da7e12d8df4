//! What a compiled file was built for, read from its own headers: ELF, Mach-O, PE. Judges nothing, reads no more than
//! bounded parts of a file however large it is, and takes no byte of it on trust: a damaged file is one that says nothing.

/// What one compiled file runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Built {
    /// `linux`, `darwin`, `win32`.
    pub os: &'static str,
    /// As node names them: `x64`, `arm64` ...; a fat Mach-O file has several, an unknown one none.
    pub archs: Vec<&'static str>,
    /// The C library it is linked with; none: it needs none, or is not of Linux.
    pub libc: Option<Libc>,
    /// Whether it speaks to node by Node-API, which is the same in every version; only asked of Linux files.
    pub node_api: bool,
    /// The one version of node's other interface (`process.versions.modules`) that it registers for.
    pub abi: Option<u32>,
}

/// A C library of Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Libc {
    /// With the highest version whose symbols are needed.
    Glibc(u32, u32),
    /// Any version.
    Musl,
}

/// A file that is read in parts.
pub(super) trait Parts {
    /// Bytes from a place, at most `size`; fewer where the file ends, none where it can't be read.
    fn part(&self, at: u64, size: usize) -> Vec<u8>;
}

/// The most that is read of a table that a file's header points to: real ones are a hundredth of it.
const TABLE: usize = 64 * 1024;
/// The longest name that is read.
const NAME: usize = 256;
/// How much of a file's symbols is looked through, and in which pieces.
const SYMBOLS: u64 = 32 << 20;
const PIECE: usize = 64 * 1024;

/// Reads the headers of `file`; none where it is no program or library.
pub(super) fn read(file: &dyn Parts) -> Option<Built> {
    let head = file.part(0, 1024);
    let built = |os, archs| Some(Built { os, archs, ..Built::default() });
    match head.get(..4)? {
        b"\x7fELF" => Elf::read(file, &head),
        [b'M', b'Z', ..] => built("win32", pe(file, &head)?),
        [0xcf, 0xfa, 0xed, 0xfe] | [0xce, 0xfa, 0xed, 0xfe] => {
            let arch = mach_arch(Bytes { bytes: &head, big: false }.number(4, 4)?);
            built("darwin", arch.into_iter().collect())
        }
        [0xca, 0xfe, 0xba, 0xbe] => built("darwin", fat(&head, 20)?),
        [0xca, 0xfe, 0xba, 0xbf] => built("darwin", fat(&head, 32)?),
        _ => None,
    }
}

/// A fat file: a list of architectures. Java's classes begin alike; their next number is a version above 40.
fn fat(head: &[u8], entry: usize) -> Option<Vec<&'static str>> {
    let bytes = Bytes { bytes: head, big: true };
    let n = usize::try_from(bytes.number(4, 4)?).ok().filter(|n| (1..30).contains(n))?;
    Some((0..n).filter_map(|i| mach_arch(bytes.number(8 + i * entry, 4)?)).collect())
}

fn mach_arch(cpu: u64) -> Option<&'static str> {
    match cpu {
        0x0100_0007 => Some("x64"),
        0x0100_000c => Some("arm64"),
        7 => Some("ia32"),
        _ => None,
    }
}

fn pe(file: &dyn Parts, head: &[u8]) -> Option<Vec<&'static str>> {
    let at = Bytes { bytes: head, big: false }.number(0x3c, 4)?;
    let header = file.part(at, 6);
    if header.get(..4)? != b"PE\0\0" {
        return None;
    }
    let arch = match (Bytes { bytes: &header, big: false }).number(4, 2)? {
        0x8664 => Some("x64"),
        0xaa64 => Some("arm64"),
        0x14c => Some("ia32"),
        _ => None,
    };
    Some(arch.into_iter().collect())
}

/// Numbers at places of a part, in the file's own byte order.
#[derive(Clone, Copy)]
struct Bytes<'a> {
    bytes: &'a [u8],
    big: bool,
}

impl Bytes<'_> {
    fn number(&self, at: usize, size: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(size)?)?;
        let add = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
        Some(if self.big { bytes.iter().fold(0, add) } else { bytes.iter().rev().fold(0, add) })
    }
}

/// One part of an ELF file, as its program header tells.
struct Part {
    kind: u64,
    at: u64,
    address: u64,
    size: u64,
}

/// Kinds of parts.
const LOADED: u64 = 1;
const DYNAMIC: u64 = 2;
const INTERPRETER: u64 = 3;
/// Tags of the dynamic section.
const NEEDED: u64 = 1;
const STRINGS: u64 = 5;
const STRINGS_SIZE: u64 = 10;
const VERSIONS_NEEDED: u64 = 0x6fff_fffe;

struct Elf<'a> {
    file: &'a dyn Parts,
    big: bool,
    wide: bool,
    parts: Vec<Part>,
    /// Tags and values of the dynamic section.
    dynamic: Vec<(u64, u64)>,
}

impl<'a> Elf<'a> {
    fn read(file: &'a dyn Parts, head: &[u8]) -> Option<Built> {
        let (wide, big) = (head.get(4)? == &2, head.get(5)? == &2);
        let header = Bytes { bytes: head, big };
        // Other systems with ELF mark their files; Linux mostly doesn't.
        let os = match head.get(7)? {
            0 | 3 => "linux",
            9 => "freebsd",
            12 => "openbsd",
            6 => "sunos",
            _ => "other",
        };
        let arch = match (header.number(18, 2)?, wide) {
            (62, true) => Some("x64"),
            (183, _) => Some("arm64"),
            (40, _) => Some("arm"),
            (3, _) => Some("ia32"),
            (243, true) => Some("riscv64"),
            (21, _) => Some("ppc64"),
            (22, _) => Some("s390x"),
            (258, _) => Some("loong64"),
            _ => None,
        };
        let mut built = Built { os, archs: arch.into_iter().collect(), ..Built::default() };
        if os == "linux" {
            let mut elf = Elf { file, big, wide, parts: Vec::new(), dynamic: Vec::new() };
            elf.parts = elf.parts(header).unwrap_or_default();
            elf.dynamic = elf.dynamic();
            built.libc = elf.libc();
            (built.node_api, built.abi) = elf.speaks();
        }
        Some(built)
    }

    /// The size of an address.
    fn word(&self) -> usize {
        if self.wide { 8 } else { 4 }
    }

    fn parts(&self, header: Bytes<'_>) -> Option<Vec<Part>> {
        let (table, size, count) = if self.wide { (32, 54, 56) } else { (28, 42, 44) };
        let table = header.number(table, self.word())?;
        let size = usize::try_from(header.number(size, 2)?).ok().filter(|size| *size >= 4)?;
        let count = usize::try_from(header.number(count, 2)?).ok()?;
        let table = self.file.part(table, (size * count).min(TABLE));
        let part = |entry: &[u8]| {
            let bytes = Bytes { bytes: entry, big: self.big };
            let field = |narrow: usize, wide: usize| bytes.number(if self.wide { wide } else { narrow }, self.word());
            Some(Part { kind: bytes.number(0, 4)?, at: field(4, 8)?, address: field(8, 16)?, size: field(16, 32)? })
        };
        Some(table.chunks_exact(size).map_while(part).collect())
    }

    /// The place in the file of what is loaded at `address`.
    fn place(&self, address: u64) -> Option<u64> {
        let within = |part: &&Part| {
            part.kind == LOADED && (part.address..part.address.saturating_add(part.size)).contains(&address)
        };
        let part = self.parts.iter().find(within)?;
        part.at.checked_add(address - part.address)
    }

    /// The text at a place, up to its NUL.
    fn text(&self, at: u64) -> String {
        let bytes = self.file.part(at, NAME);
        String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
    }

    fn dynamic(&self) -> Vec<(u64, u64)> {
        let Some(part) = self.parts.iter().find(|part| part.kind == DYNAMIC) else { return Vec::new() };
        let size = usize::try_from(part.size).unwrap_or(TABLE).min(TABLE);
        let table = self.file.part(part.at, size);
        let entry = |entry: &[u8]| {
            let bytes = Bytes { bytes: entry, big: self.big };
            Some((bytes.number(0, self.word())?, bytes.number(self.word(), self.word())?))
        };
        table.chunks_exact(2 * self.word()).map_while(entry).take_while(|(tag, _)| *tag != 0).collect()
    }

    fn value(&self, tag: u64) -> Option<u64> {
        self.dynamic.iter().find(|(found, _)| *found == tag).map(|(_, value)| *value)
    }

    /// Where its names begin.
    fn strings(&self) -> Option<u64> {
        self.place(self.value(STRINGS)?)
    }

    fn libc(&self) -> Option<Libc> {
        let interpreter = self.parts.iter().find(|part| part.kind == INTERPRETER);
        let interpreter = interpreter.map(|part| self.text(part.at)).unwrap_or_default();
        let strings = self.strings();
        let name = |at: &u64| Some(self.text(strings?.checked_add(*at)?));
        let needed = self.dynamic.iter().filter(|(tag, _)| *tag == NEEDED);
        let needed: Vec<String> = needed.take(1000).filter_map(|(_, at)| name(at)).collect();
        if interpreter.contains("ld-musl")
            || needed.iter().any(|name| name.starts_with("libc.musl") || *name == "libc.so")
        {
            return Some(Libc::Musl);
        }
        let (major, minor) = self.glibc().unwrap_or_default();
        let linked = needed.iter().any(|name| name == "libc.so.6") || interpreter.contains("ld-linux") || major > 0;
        linked.then_some(Libc::Glibc(major, minor))
    }

    /// The highest `GLIBC_x.y` among the needed versions; a weak need is none.
    fn glibc(&self) -> Option<(u32, u32)> {
        let strings = self.strings()?;
        let table = self.file.part(self.place(self.value(VERSIONS_NEEDED)?)?, TABLE);
        let bytes = Bytes { bytes: &table, big: self.big };
        let step = |at: usize, by: u64| at.checked_add(usize::try_from(by).ok()?);
        let (mut file, mut highest, mut seen) = (0, None, 0);
        loop {
            let mut version = step(file, bytes.number(file + 8, 4)?)?;
            for _ in 0..bytes.number(file + 2, 2)? {
                // The offsets of a damaged file may lead in a circle.
                seen += 1;
                let name = bytes.number(version.checked_add(8)?, 4)?;
                if seen > 2000 {
                    return highest;
                }
                let weak = bytes.number(version + 4, 2)? & 2 != 0;
                let named = self.text(strings.checked_add(name)?);
                if let Some(found) = named.strip_prefix("GLIBC_").and_then(two).filter(|_| !weak) {
                    highest = highest.max(Some(found));
                }
                version = step(version, bytes.number(version + 12, 4)?)?;
            }
            match bytes.number(file + 12, 4)? {
                0 => return highest,
                next => file = step(file, next)?,
            }
            seen += 1;
            if seen > 2000 || file > TABLE {
                return highest;
            }
        }
    }

    /// Whether it speaks Node-API, and which version of the other interface it registers for: by its symbols' names.
    fn speaks(&self) -> (bool, Option<u32>) {
        const NODE_API: [&[u8]; 2] = [b"napi_register_module", b"napi_module_register"];
        const REGISTERS: &[u8] = b"node_register_module_v";
        const LONGEST: usize = 40;
        let (Some(begin), Some(size)) = (self.strings(), self.value(STRINGS_SIZE)) else { return (false, None) };
        let (mut node_api, mut abi) = (false, None);
        let mut done = 0;
        while done < size.min(SYMBOLS) {
            let Some(at) = begin.checked_add(done) else { break };
            let piece = self.file.part(at, PIECE.min(usize::try_from(size - done).unwrap_or(PIECE)));
            node_api |= NODE_API.iter().any(|word| find(&piece, word).is_some());
            if let Some(at) = find(&piece, REGISTERS) {
                let digits = piece[at + REGISTERS.len()..].iter().take_while(|byte| byte.is_ascii_digit());
                abi = String::from_utf8_lossy(&digits.copied().collect::<Vec<u8>>()).parse().ok().or(abi);
            }
            if piece.len() < PIECE {
                break;
            }
            // A name may lie across the end of a piece.
            done += (PIECE - LONGEST) as u64;
        }
        (node_api, abi)
    }
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}

/// The first two numbers of a version.
pub(super) fn two(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    impl Parts for Vec<u8> {
        fn part(&self, at: u64, size: usize) -> Vec<u8> {
            let from = usize::try_from(at).unwrap_or(usize::MAX).min(self.len());
            self[from..from.saturating_add(size).min(self.len())].to_vec()
        }
    }

    fn plain(os: &'static str, archs: &[&'static str]) -> Option<Built> {
        Some(Built { os, archs: archs.to_vec(), ..Built::default() })
    }

    #[test]
    fn this_very_program_is_read_as_what_it_is() {
        let built = read(&std::fs::read(std::env::current_exe().unwrap()).unwrap()).unwrap();
        assert_eq!(built.os, std::env::consts::OS.replace("macos", "darwin"));
        let arch = match std::env::consts::ARCH {
            "x86_64" => "x64",
            "aarch64" => "arm64",
            other => other,
        };
        assert_eq!(built.archs, [arch]);
        let glibc = matches!(built.libc, Some(Libc::Glibc(2, minor)) if minor > 10);
        assert!(glibc || cfg!(not(target_env = "gnu")), "{:?}", built.libc);
    }

    #[test]
    fn other_systems_are_told_by_their_first_bytes() {
        let mach = [[0xcf, 0xfa, 0xed, 0xfe], [0x0c, 0, 0, 1]].concat();
        assert_eq!(read(&mach), plain("darwin", &["arm64"]));
        for (magic, entry) in [(0xbe, 16), (0xbf, 28)] {
            let mut fat = vec![0xca, 0xfe, 0xba, magic, 0, 0, 0, 2, 1, 0, 0, 7];
            fat.extend(vec![0; entry]);
            fat.extend([1, 0, 0, 12]);
            assert_eq!(read(&fat), plain("darwin", &["x64", "arm64"]));
        }
        let mut pe = vec![0; 0x48];
        pe[..2].copy_from_slice(b"MZ");
        pe[0x3c] = 0x40;
        pe[0x40..0x46].copy_from_slice(b"PE\0\0\x64\x86");
        assert_eq!(read(&pe), plain("win32", &["x64"]));
    }

    #[test]
    fn a_header_alone_tells_the_system_and_the_machine() {
        let elf = |machine: u16, wide: u8, big: u8, abi: u8| {
            let mut head = vec![0; 64];
            head[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', wide, big, 1, abi]);
            head[18..20].copy_from_slice(&if big == 2 { machine.to_be_bytes() } else { machine.to_le_bytes() });
            read(&head)
        };
        assert_eq!(elf(183, 2, 1, 0), plain("linux", &["arm64"]));
        assert_eq!(elf(40, 1, 1, 0), plain("linux", &["arm"]));
        assert_eq!(elf(22, 2, 2, 3), plain("linux", &["s390x"]));
        assert_eq!(elf(62, 2, 1, 9), plain("freebsd", &["x64"]));
        assert_eq!(elf(9999, 2, 1, 0), plain("linux", &[]));
    }

    #[test]
    fn what_is_cut_or_no_program_says_nothing_and_never_panics() {
        let whole = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for end in (0..4096.min(whole.len())).chain([whole.len() / 2]) {
            let _ = read(&whole[..end].to_vec());
        }
        for text in [&b""[..], b"#!/bin/sh\n", b"\xca\xfe\xba\xbe\0\0\0\x34", b"\x7fELF", b"MZ"] {
            assert_eq!(read(&text.to_vec()), None, "{text:?}");
        }
    }

    /// A whole small library: header, its parts, the dynamic section, names and needed versions, one after the other.
    fn library(names: &[u8], dynamic: &[(u64, u64)], versions: &[u8]) -> Vec<u8> {
        const DYNAMIC_AT: u64 = 0x100;
        const NAMES_AT: u64 = 0x400;
        const VERSIONS_AT: u64 = 0x800;
        let mut file = vec![0; VERSIONS_AT as usize];
        file[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
        file[18] = 62;
        file[32] = 64;
        file[54] = 56;
        file[56] = 2;
        let mut part = |number: usize, fields: [u64; 6]| {
            for (i, field) in fields.into_iter().enumerate() {
                let at = 64 + number * 56 + i * 8;
                file[at..at + 8].copy_from_slice(&field.to_le_bytes());
            }
        };
        part(0, [LOADED, 0, 0x1000, 0x1000, 0x2000, 0x2000]);
        part(1, [DYNAMIC, DYNAMIC_AT, 0, 0, 0x200, 0x200]);
        let fixed = [(STRINGS, 0x1000 + NAMES_AT), (STRINGS_SIZE, names.len() as u64)];
        let last = (VERSIONS_NEEDED, 0x1000 + VERSIONS_AT);
        for (i, (tag, value)) in fixed.into_iter().chain(dynamic.iter().copied()).chain([last]).enumerate() {
            let at = DYNAMIC_AT as usize + i * 16;
            file[at..at + 8].copy_from_slice(&tag.to_le_bytes());
            file[at + 8..at + 16].copy_from_slice(&value.to_le_bytes());
        }
        file[NAMES_AT as usize..][..names.len()].copy_from_slice(names);
        file.extend_from_slice(versions);
        file
    }

    /// One file's needs: versions by the place of their names, and whether each is weak.
    fn needs(versions: &[(u32, bool)]) -> Vec<u8> {
        let mut text = [&1_u16.to_le_bytes()[..], &(versions.len() as u16).to_le_bytes()].concat();
        text.extend([[0; 4], 16_u32.to_le_bytes(), [0; 4]].concat());
        for (i, (name, weak)) in versions.iter().enumerate() {
            let next: u32 = if i + 1 < versions.len() { 16 } else { 0 };
            text.extend(
                [[0; 4], [if *weak { 2 } else { 0 }, 0, 0, 0], name.to_le_bytes(), next.to_le_bytes()].concat(),
            );
        }
        text
    }

    const NAMES: &[u8] =
        b"\0libc.so.6\0GLIBC_2.4\0GLIBC_2.34\0GLIBC_2.38\0libc.musl-x86_64.so.1\0node_register_module_v115\0";

    #[test]
    fn the_highest_glibc_that_is_needed_counts_and_a_weak_need_does_not() {
        let at = |name: &str| find(NAMES, name.as_bytes()).unwrap() as u64;
        let version = |name: &str, weak| (at(name) as u32, weak);
        let versions = [version("GLIBC_2.4\0", false), version("GLIBC_2.34", false), version("GLIBC_2.38", true)];
        let file = library(NAMES, &[(NEEDED, at("libc.so.6"))], &needs(&versions));
        let built = read(&file).unwrap();
        assert_eq!((built.libc, built.node_api, built.abi), (Some(Libc::Glibc(2, 34)), false, Some(115)));
        let musl = library(NAMES, &[(NEEDED, at("libc.musl"))], &[]);
        assert_eq!(read(&musl).unwrap().libc, Some(Libc::Musl));
        let api = library(b"\0napi_register_module_v1\0", &[], &[]);
        assert_eq!((read(&api).unwrap().node_api, read(&api).unwrap().libc), (true, None));
    }

    #[test]
    fn a_table_that_leads_in_a_circle_comes_to_an_end() {
        let mut versions = needs(&[(11, false)]);
        versions[2..4].copy_from_slice(&u16::MAX.to_le_bytes());
        let file = library(NAMES, &[(NEEDED, 1)], &versions);
        assert_eq!(read(&file).unwrap().libc, Some(Libc::Glibc(2, 4)));
        let mut round = needs(&[]);
        round[12..16].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(read(&library(NAMES, &[(NEEDED, 1)], &round)).unwrap().libc, Some(Libc::Glibc(0, 0)));
    }

    proptest! {
        /// Any byte of it may be any other, and any number as large as it can be.
        #[test]
        fn a_hostile_file_is_read_to_some_end(
            changes in prop::collection::vec((0_usize..0x900, prop::sample::select(vec![0, 1, 2, 0x7f, 0x80, 0xff]), 1_usize..9), 0..12),
            cut in 0_usize..0x900,
        ) {
            let mut file = library(NAMES, &[(NEEDED, 1)], &needs(&[(11, false), (21, true)]));
            for (at, byte, length) in changes {
                for byte_at in at..(at + length).min(file.len()) {
                    // Past the magic, so that it goes on being read as what it claims to be.
                    if byte_at > 3 { file[byte_at] = byte; }
                }
            }
            let _ = read(&file);
            file.truncate(cut);
            let _ = read(&file);
        }
    }
}

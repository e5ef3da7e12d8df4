//! The two compressions that hosts can undo, with settings that were measured on `node_modules`.
//! The same input gives the same output, whatever the number of cores here.

use std::io::{self, Write};

use flate2::{Compression, GzBuilder, write::GzEncoder};
use zstd::stream::write::Encoder as ZstdEncoder;
use zstd::zstd_safe::CParameter;

/// zstd's window of 16 MiB: finds the copies that a JavaScript tree is full of, and costs a host 21 MB.
pub(super) const WINDOW_LOG: u32 = 24;
/// Fixed, since the number of workers shapes the output.
const WORKERS: u32 = 2;

/// How an archive is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    /// For hosts that have `zstd`.
    Zstd,
    /// For all others.
    Gzip,
}

impl Codec {
    /// The name of the program that undoes it.
    pub fn word(self) -> &'static str {
        match self {
            Codec::Zstd => "zstd",
            Codec::Gzip => "gzip",
        }
    }

    /// Compresses what is written into `out`.
    pub fn encoder<W: Write>(self, out: W) -> io::Result<Encoder<W>> {
        match self {
            Codec::Zstd => {
                let mut encoder = ZstdEncoder::new(out, 3)?;
                encoder.long_distance_matching(true)?;
                encoder.window_log(WINDOW_LOG)?;
                encoder.set_parameter(CParameter::NbWorkers(WORKERS))?;
                encoder.include_checksum(true)?;
                Ok(Encoder::Zstd(encoder))
            }
            // No name and no time in the header: both would make equal content differ.
            Codec::Gzip => Ok(Encoder::Gzip(GzBuilder::new().write(out, Compression::new(6)))),
        }
    }
}

/// A writer that compresses; nothing is complete before `finish`.
pub enum Encoder<W: Write> {
    /// See `Codec::Zstd`.
    Zstd(ZstdEncoder<'static, W>),
    /// See `Codec::Gzip`.
    Gzip(GzEncoder<W>),
}

impl<W: Write> Encoder<W> {
    /// Writes what is left and gives the inner writer back.
    pub fn finish(self) -> io::Result<W> {
        match self {
            Encoder::Zstd(encoder) => encoder.finish(),
            Encoder::Gzip(encoder) => encoder.finish(),
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Encoder::Zstd(encoder) => encoder.write(bytes),
            Encoder::Gzip(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Encoder::Zstd(encoder) => encoder.flush(),
            Encoder::Gzip(encoder) => encoder.flush(),
        }
    }
}

//! The segments of the log in their directory: `charges-0.log`, `charges-1.log` and so on, of which the newest is written
//! and the others are only uses to be read. A segment's number is the gateway's epoch.
//!
//! The next segment is drafted whole under another name and adopted by renaming it, when all of this one is durable. So
//! after a crash there is either this one, which goes on, or also the next, which has all that is remembered.

use std::{
    fs,
    fs::File,
    io::BufReader,
    path::{Path, PathBuf},
};

use alloy_primitives::Address;

use crate::{
    books::Books,
    channels::Channels,
    charges::UsageEntry,
    durable::{self, FileError, failed},
    log::{FrameFault, Frames, Header, Log, LogError, Owner, RECORD, offset},
    record::Record,
};

/// The one file of a log of version 1.
const UNDIVIDED: &str = "charges.log";

/// Why a segment was not read or discarded.
#[derive(Debug, thiserror::Error)]
pub enum SegmentError {
    /// It is the one that is written, or was never begun, or is discarded.
    #[error("expected a closed segment, found {number}, which is none; ask which there are")]
    NotClosed {
        /// What was asked for.
        number: u64,
    },
    /// They are discarded in their order, since each tells how long the one before it is.
    #[error(
        "expected the oldest segment, {oldest}, to be discarded first, found {number}; discard those before it"
    )]
    NotOldest {
        /// What was to be discarded.
        number: u64,
        /// What there is to be discarded.
        oldest: u64,
    },
    /// It cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The directory cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
}

/// What opening found.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) log: Log,
    /// Uses in the newest segment.
    pub(crate) charges: u64,
    pub(crate) torn_bytes: u64,
}

/// The directory, and who writes in it.
#[derive(Debug)]
pub(crate) struct Segments {
    dir: PathBuf,
    owner: Owner,
}

impl Segments {
    pub(crate) fn new(dir: &Path, owner: Owner) -> Self {
        Self { dir: dir.to_owned(), owner }
    }

    pub(crate) fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("charges-{number}.log"))
    }

    /// The numbers of all that are there, in their order.
    pub(crate) fn numbers(&self) -> Result<Vec<u64>, FileError> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(failed("list", &self.dir))? {
            let name = entry.map_err(failed("list", &self.dir))?.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("charges-")?.strip_suffix(".log"));
            let number = number.and_then(|digits| Some((digits, digits.parse::<u64>().ok()?)));
            // No other spelling is a name that was given here.
            numbers.extend(
                number.filter(|(digits, number)| number.to_string() == *digits).map(|(_, number)| number),
            );
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Opens the newest segment, or begins the first, and enters its records in the books.
    pub(crate) fn open(&self, books: &mut Books) -> Result<Opened, LogError> {
        let undivided = self.dir.join(UNDIVIDED);
        if fs::exists(&undivided).map_err(failed("look for", &undivided))? {
            return Err(LogError::OtherVersion { path: undivided, found: 1 });
        }
        let Some(&number) = self.numbers()?.last() else {
            let header = Header { owner: self.owner, number: 0, frames_before: 0, snapshot: 0 };
            let log = Log::begin(self.path(0), header, &[]).map_err(|error| error.source)?;
            return Ok(Opened { log, charges: 0, torn_bytes: 0 });
        };
        let path = self.path(number);
        let mut frames = Frames::of_file(&path, &self.owner, number)?;
        let mut charges = 0;
        while let Some(record) = frames.next().map_err(|fault| fault.of(&path))? {
            enter(books, &frames, &record).map_err(|fault| fault.of(&path))?;
            charges += u64::from(record.is_use());
        }
        self.drop_draft(number + 1);
        let log = Log::resume(path, &frames)?;
        Ok(Opened { log, charges, torn_bytes: frames.torn_bytes })
    }

    /// What a crash has left of a segment that was not adopted only takes space.
    fn drop_draft(&self, number: u64) {
        let _ = fs::remove_file(durable::draft_path(&self.path(number)));
    }

    /// Begins the segment after `log`, all of which is durable.
    pub(crate) fn next(&self, log: &Log, snapshot: &[Record]) -> Result<Log, crate::log::BeginError> {
        log.next(self.path(log.header.number + 1), snapshot)
    }

    /// The uses of a closed segment, of which `newest` is none.
    pub(crate) fn read(&self, number: u64, newest: u64, books: Books) -> Result<Usage, SegmentError> {
        self.closed(number, newest)?;
        let after = Frames::of_file(&self.path(number + 1), &self.owner, number + 1)?;
        let path = self.path(number);
        let frames = Frames::of_file(&path, &self.owner, number)?;
        Ok(Usage { path, frames, books, length: after.header.frames_before, ended: false })
    }

    pub(crate) fn discard(&self, number: u64, newest: u64) -> Result<(), SegmentError> {
        let oldest = self.closed(number, newest)?;
        if number != oldest {
            return Err(SegmentError::NotOldest { number, oldest });
        }
        Ok(durable::remove(&self.path(number))?)
    }

    /// Checks that the segment is closed, and answers the oldest that is.
    fn closed(&self, number: u64, newest: u64) -> Result<u64, SegmentError> {
        let numbers = self.numbers()?;
        let oldest = numbers.first().copied().filter(|_| number < newest && numbers.contains(&number));
        oldest.ok_or(SegmentError::NotClosed { number })
    }
}

fn enter<R>(books: &mut Books, frames: &Frames<R>, record: &Record) -> Result<(), FrameFault> {
    let offset = offset(frames.read - 1);
    books.enter(record, 0).map_err(|what| FrameFault::Damaged { offset, what })
}

/// The uses of a closed segment, each once and in their order. It reads as it goes; after an error it ends.
#[derive(Debug)]
pub struct Usage {
    path: PathBuf,
    frames: Frames<BufReader<File>>,
    books: Books,
    /// In frames, by the segment after it.
    length: u64,
    ended: bool,
}

impl Usage {
    fn next_entry(&mut self) -> Result<Option<UsageEntry>, FrameFault> {
        while let Some(record) = self.frames.next()? {
            enter(&mut self.books, &self.frames, &record)?;
            let entry = self.books.usage(self.frames.read - 1, &record);
            if entry.is_some() {
                return Ok(entry);
            }
        }
        let read = self.frames.read;
        if read == self.length {
            return Ok(None);
        }
        Err(FrameFault::Damaged {
            offset: offset(read.min(self.length)),
            what: "the segment is not as long as it was",
        })
    }
}

impl Iterator for Usage {
    type Item = Result<UsageEntry, LogError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let next = self.next_entry().map_err(|fault| fault.of(&self.path)).transpose();
        self.ended = !matches!(next, Some(Ok(_)));
        next
    }
}

/// A segment that was decoded from memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The chain that its channels are on.
    pub chain_id: u64,
    /// Their contract.
    pub channels: Address,
    /// The gateway's key.
    pub receiver_authorizer: Address,
    /// The gateway's epoch.
    pub number: u64,
    /// Its uses, in their order.
    pub usage: Vec<UsageEntry>,
    /// Bytes behind the last whole record that a crash has left.
    pub torn_bytes: u64,
}

/// Why bytes are no segment.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("expected a segment of a log of charges, found byte {offset} to say otherwise: {what}")]
pub struct DecodeError {
    /// Where the frame begins that cannot be taken.
    pub offset: u64,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Decodes the bytes of a segment's file: what recovery does, without the file. Any bytes are answered, without a panic
/// and with no more memory than some times theirs.
///
/// # Errors
/// [`DecodeError`], when recovery would refuse the file.
pub fn decode_segment(bytes: &[u8]) -> Result<Segment, DecodeError> {
    let header = DecodeError { offset: 0, what: "its header is damaged or of another version" };
    let mut frames = Frames::new(bytes).ok().and_then(Result::ok).ok_or(header)?;
    let Header { owner, number, .. } = frames.header;
    let Owner { chain_id, channels, receiver_authorizer } = owner;
    let mut books = Books::new(Channels::new(chain_id, channels), receiver_authorizer);
    let mut usage = Vec::new();
    let fault = |fault| match fault {
        FrameFault::Damaged { offset, what } => DecodeError { offset, what },
        FrameFault::Read(_) => unreachable!("memory can be read"),
    };
    while let Some(record) = frames.next().map_err(fault)? {
        enter(&mut books, &frames, &record).map_err(fault)?;
        usage.extend(books.usage(frames.read - 1, &record));
    }
    let torn_bytes = frames.torn_bytes;
    Ok(Segment { chain_id, channels, receiver_authorizer, number, usage, torn_bytes })
}

/// Decodes records without their frames, [`RECORD`] bytes each, and follows them as those of a new log: a way past the
/// checksums for a fuzzer, which [`decode_segment`] lets nothing through but what was written by a meter.
///
/// # Errors
/// [`DecodeError`], at the first record that has no known form or does not follow from those before.
pub fn decode_records(
    bytes: &[u8],
    channels: &Channels,
    receiver_authorizer: Address,
) -> Result<Vec<UsageEntry>, DecodeError> {
    let mut books = Books::new(channels.clone(), receiver_authorizer);
    let mut usage = Vec::new();
    for (sequence, bytes) in (0..).zip(bytes.chunks(RECORD)) {
        let fault = |what| DecodeError { offset: sequence * RECORD as u64, what };
        let record = Record::decode(bytes).ok_or_else(|| fault("its record has no known form"))?;
        books.enter(&record, 0).map_err(fault)?;
        usage.extend(books.usage(sequence, &record));
    }
    Ok(usage)
}

//! The node's end of the control socket. Clients are served by tasks of their own and reach the node
//! through a bounded queue: a slow, silent or babbling client costs the node nothing but its seat.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot};
use tokio::time::timeout;

use super::types::{DropLine, MAX_REQUEST, Refusal, Request, SCHEMA};

/// Clients served at a time; the next ones wait to be accepted.
const CLIENTS: usize = 32;
/// Questions waiting for the node.
const QUESTIONS: usize = 32;
/// Sampled frames kept for a client that reads slowly.
const SAMPLES: usize = 256;
/// How long a client may take to read a line.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a client may say nothing.
const IDLE: Duration = Duration::from_secs(300);

/// A question, and where its answer (one line of JSON) goes.
pub(crate) struct Question {
    pub(crate) request: Request,
    pub(crate) reply: oneshot::Sender<String>,
}

/// The listening socket and the way to it; the file goes with it.
pub(crate) struct Server {
    path: PathBuf,
    questions: mpsc::Receiver<Question>,
    samples: broadcast::Sender<Arc<DropLine>>,
}

impl Server {
    /// Listens at `path`. A socket that nobody answers behind is replaced, another one is not.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let listener = listen(path)?;
        let (asking, questions) = mpsc::channel(QUESTIONS);
        let (samples, _) = broadcast::channel(SAMPLES);
        tokio::spawn(accept(listener, asking, samples.clone()));
        Ok(Self {
            path: path.to_owned(),
            questions,
            samples,
        })
    }

    /// The next question.
    pub(crate) async fn question(&mut self) -> Option<Question> {
        self.questions.recv().await
    }

    /// Shows a sampled frame to those who follow.
    pub(crate) fn publish(&self, line: DropLine) {
        let _ = self.samples.send(Arc::new(line));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    // Bound under another name, locked, then moved: nobody connects before the mode is right.
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    if StdStream::connect(path).is_ok() {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("another node already answers behind {}", path.display()),
        ));
    }
    let _ = fs::remove_file(&temporary);
    let listener = UnixListener::bind(&temporary)?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o600))?;
    fs::rename(&temporary, path)?;
    Ok(listener)
}

async fn accept(
    listener: UnixListener,
    asking: mpsc::Sender<Question>,
    samples: broadcast::Sender<Arc<DropLine>>,
) {
    let seats = Arc::new(Semaphore::new(CLIENTS));
    loop {
        let Ok(seat) = seats.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (asking, samples) = (asking.clone(), samples.subscribe());
                tokio::spawn(async move {
                    let _ = serve(stream, asking, samples).await;
                    drop(seat);
                });
            }
            // Out of descriptors: wait for some to come back.
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

async fn serve(
    stream: UnixStream,
    asking: mpsc::Sender<Question>,
    samples: broadcast::Receiver<Arc<DropLine>>,
) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    loop {
        let line = match timeout(IDLE, read_line(&mut reader)).await?? {
            Line::Complete(line) => line,
            Line::End => return Ok(()),
            Line::TooLong => {
                let why = format!("a request has at most {MAX_REQUEST} bytes");
                return write_line(&mut writer, refusal(&why)).await;
            }
        };
        match serde_json::from_slice(&line) {
            Ok(Request::Follow { reason, from }) => {
                return follow(reader, writer, samples, reason, from).await;
            }
            Ok(request) => write_line(&mut writer, ask(&asking, request).await).await?,
            Err(error) => write_line(&mut writer, refusal(&error.to_string())).await?,
        }
    }
}

enum Line {
    Complete(Vec<u8>),
    TooLong,
    End,
}

async fn read_line(reader: &mut BufReader<OwnedReadHalf>) -> io::Result<Line> {
    let mut line = Vec::new();
    let read = reader
        .take(MAX_REQUEST as u64)
        .read_until(b'\n', &mut line)
        .await?;
    Ok(match line.last() {
        None => Line::End,
        Some(b'\n') => Line::Complete(line),
        Some(_) if read == MAX_REQUEST => Line::TooLong,
        Some(_) => Line::End,
    })
}

async fn ask(asking: &mpsc::Sender<Question>, request: Request) -> String {
    let (reply, answer) = oneshot::channel();
    if asking.try_send(Question { request, reply }).is_err() {
        return refusal("too many questions at once: ask again");
    }
    answer
        .await
        .unwrap_or_else(|_| refusal("the node is ending"))
}

/// One line of JSON that says why there is no answer.
pub(crate) fn refusal(error: &str) -> String {
    let refusal = Refusal {
        schema: SCHEMA,
        error: error.to_owned(),
    };
    serde_json::to_string(&refusal).unwrap_or_default()
}

async fn write_line(writer: &mut OwnedWriteHalf, mut line: String) -> io::Result<()> {
    line.push('\n');
    timeout(PATIENCE, writer.write_all(line.as_bytes())).await?
}

async fn follow(
    mut reader: BufReader<OwnedReadHalf>,
    mut writer: OwnedWriteHalf,
    mut samples: broadcast::Receiver<Arc<DropLine>>,
    reason: Option<String>,
    from: Option<String>,
) -> io::Result<()> {
    let wanted = |line: &DropLine| {
        reason.as_ref().is_none_or(|reason| *reason == line.reason)
            && from
                .as_ref()
                .is_none_or(|from| Some(from) == line.source.as_ref())
    };
    let mut missed = 0;
    let mut ignored = [0; 64];
    loop {
        let sample = tokio::select! {
            sample = samples.recv() => sample,
            // A follower has nothing more to say: bytes are ignored, the end ends it.
            read = reader.read(&mut ignored) => match read? {
                0 => return Ok(()),
                _ => continue,
            },
        };
        match sample {
            Ok(line) if wanted(&line) => {
                let line = DropLine {
                    missed: std::mem::take(&mut missed),
                    ..(*line).clone()
                };
                write_line(&mut writer, serde_json::to_string(&line)?).await?;
            }
            Ok(_) => {}
            Err(RecvError::Lagged(count)) => missed += count,
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

//! The loop: whatever wakes it, frames are read before timers are fired, so that a node that was
//! stopped for a while does not blame others for its own silence. Joiners' frames wait until nothing else is
//! to be done.

use std::collections::BTreeMap;
use std::future::pending;
use std::io;

use nexus0_core::filter::Maps;
use nexus0_core::inbox::{Inbox, Next};
use nexus0_core::node::{Event, Input, Node, Output, Role};
use nexus0_core::time::Time;
use tokio::signal::unix::Signal;
use tokio::sync::watch;
use tokio::time::Interval;

use super::RunError;
use super::address::{AddressWatch, LinkLocal};
use super::clock::{self, Alarm};
use super::intake::Intake;
use super::journal::Journal;
use super::keep::Keeper;
use super::report::{self, Identification, Sources};
use super::samples::Samples;
use super::socket::{Datagram, LONGEST};
use super::start::interface_index;
use super::twin;
use crate::api::server::{Question, Server, refusal};
use crate::api::types::{Explanation, Request};
use crate::dataplane::{Dataplane, Events, MapError, Refusal};
use crate::explain;
use crate::hex;
use crate::store::{ConvictionsFolder, RevocationsFile};

/// Frames read before timers get their turn, whatever arrives.
const FRAMES: usize = 4096;
/// Timers fired and waiting frames judged before signals and questions get their turn.
const STEPS: usize = 64;

/// What ends a node.
pub(super) struct Signals {
    pub(super) terminate: Signal,
    pub(super) interrupt: Signal,
}

/// A running node.
pub(super) struct NodeLoop {
    pub(super) who: Identification,
    pub(super) node: Node,
    pub(super) plane: Dataplane,
    pub(super) refusals: Option<Events>,
    pub(super) intake: Intake,
    pub(super) inbox: Inbox<Waiting>,
    pub(super) watch: AddressWatch,
    pub(super) alarm: Alarm,
    pub(super) heartbeat: Interval,
    /// When an anchor looks at what its filter refused at the door.
    pub(super) door_watch: Interval,
    pub(super) signals: Signals,
    pub(super) server: Server,
    pub(super) revocations: Option<RevocationsFile>,
    pub(super) convictions: Option<ConvictionsFolder>,
    /// The newest revocation list that any node of this process has taken.
    pub(super) lists: watch::Sender<Vec<u8>>,
    pub(super) news: watch::Receiver<Vec<u8>>,
    pub(super) keeper: Option<Keeper>,
    pub(super) memory: Memory,
}

/// What a running node remembers for its reports.
pub(super) struct Memory {
    pub(super) address: LinkLocal,
    pub(super) journal: Journal,
    pub(super) samples: Samples,
    pub(super) counters: BTreeMap<String, u64>,
    /// Why the revocation list held could not be kept.
    pub(super) unkept: Option<String>,
}

/// A frame that waits for its signatures to be judged.
pub(super) struct Waiting {
    datagram: Datagram,
    payload: Vec<u8>,
}

/// Why the loop woke up.
enum Wake {
    Stop,
    Frames,
    Timer,
    Address,
    Heartbeat,
    Door,
    List,
    Question(Question),
    Refusals(Vec<Refusal>),
}

impl NodeLoop {
    /// Runs until a signal ends it; the filter stays attached.
    pub(super) async fn run(mut self) -> Result<(), RunError> {
        // What was kept of an earlier process goes into the filter before anything else happens.
        self.carry_out()?;
        self.look_at_address()?;
        if self.memory.address == LinkLocal::Missing {
            tracing::warn!("{}: {}", self.who.interface, LinkLocal::Missing.describe());
        }
        loop {
            self.settle()?;
            if let Some(keeper) = &mut self.keeper {
                keeper.keep(&self.node, Time(clock::now()));
            }
            match self.wake().await.map_err(RunError::io("wait"))? {
                Wake::Stop => break,
                Wake::Frames | Wake::Timer => {}
                Wake::Address => self.look_at_address()?,
                Wake::Heartbeat => self.beat()?,
                Wake::Door => self.look_at_door()?,
                Wake::List => self.take_shared()?,
                Wake::Question(question) => self.answer(question)?,
                Wake::Refusals(refusals) => self.publish(&refusals),
            }
        }
        self.leave()
    }

    async fn wake(&mut self) -> io::Result<Wake> {
        let Self {
            node,
            intake,
            watch,
            alarm,
            heartbeat,
            door_watch,
            signals,
            server,
            refusals,
            news,
            ..
        } = self;
        let anchor = node.role() == Role::Anchor;
        Ok(tokio::select! {
            _ = signals.terminate.recv() => Wake::Stop,
            _ = signals.interrupt.recv() => Wake::Stop,
            done = intake.readable() => done.map(|()| Wake::Frames)?,
            done = alarm.rung() => done.map(|()| Wake::Timer)?,
            done = watch.changed() => done.map(|()| Wake::Address)?,
            _ = heartbeat.tick() => Wake::Heartbeat,
            _ = door_watch.tick(), if anchor => Wake::Door,
            Ok(()) = news.changed() => Wake::List,
            Some(question) = server.question() => Wake::Question(question),
            sampled = sampled(refusals) => Wake::Refusals(sampled?),
        })
    }

    /// Reads what has arrived, then fires what is due, then judges what waits, one frame between two looks at
    /// everything else, then sets the alarm.
    fn settle(&mut self) -> Result<(), RunError> {
        for _ in 0..STEPS {
            let drained = self.read_frames()?;
            let now = Time(clock::now());
            match self.inbox.next(&self.node, now) {
                Next::Timer => {
                    self.node.handle_timeout(now);
                    self.carry_out()?;
                }
                Next::Frame(Waiting { datagram, payload }) => self.judge(datagram, &payload)?,
                Next::Nothing if drained => return self.set_alarm(self.node.poll_timeout()),
                Next::Nothing => break,
            }
        }
        // There is more to do, but signals and questions get their turn first.
        self.set_alarm(Some(Time(0)))
    }

    fn set_alarm(&self, at: Option<Time>) -> Result<(), RunError> {
        self.alarm
            .set(at.map(|at| at.0))
            .map_err(RunError::io("set a timer"))
    }

    /// Hands members' frames to the node and lets joiners' wait; whether all was read.
    fn read_frames(&mut self) -> Result<bool, RunError> {
        let mut buffer = [0; LONGEST];
        for _ in 0..FRAMES {
            let datagram = match self.intake.receive(&mut buffer) {
                Ok(Some(datagram)) => datagram,
                Ok(None) => return Ok(true),
                // An asynchronous error of something sent earlier.
                Err(error) => {
                    self.count("receive_errors");
                    tracing::debug!("cannot receive: {error}");
                    continue;
                }
            };
            self.count("datagrams");
            let payload = buffer.get(..datagram.length).unwrap_or_default();
            if Inbox::<Waiting>::takes(payload) {
                let payload = payload.to_vec();
                self.inbox.put(Waiting { datagram, payload });
            } else {
                self.judge(datagram, payload)?;
            }
        }
        Ok(false)
    }

    fn judge(&mut self, datagram: Datagram, payload: &[u8]) -> Result<(), RunError> {
        let (source, destination) = (datagram.source, datagram.destination);
        let input = Input::Frame {
            source,
            destination,
            payload,
        };
        self.node.handle_input(Time(clock::now()), input);
        self.carry_out()
    }

    /// Does what the node wants done. To be called after every input.
    fn carry_out(&mut self) -> Result<(), RunError> {
        while let Some(output) = self.node.poll_output() {
            let now = Time(clock::now());
            match output {
                Output::Transmit {
                    destination,
                    payload,
                } => {
                    if let Some(keeper) = &mut self.keeper {
                        keeper.keep_keys(&self.node, now);
                    }
                    self.transmit(destination, &payload);
                }
                Output::Dataplane(op) => self.plane.apply(&op, now)?,
                Output::Revocations(list) => {
                    self.keep(&list);
                    self.share(list);
                }
                Output::Conviction(proof) => self.keep_conviction(&proof),
                Output::Event(event) => {
                    self.memory.journal.record(now, &event);
                    if let Event::SameIdentity { address } = event {
                        tracing::warn!("{}", twin::advice(address));
                    }
                }
            }
        }
        Ok(())
    }

    /// The list counts at once; a folder that cannot be written makes a warning, not a stop.
    fn keep(&mut self, list: &[u8]) {
        let Some(file) = &self.revocations else {
            return;
        };
        let kept = file.verify(list).map(|list| file.keep(&list));
        self.memory.unkept = match kept {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = &self.memory.unkept {
            tracing::error!("the revocation list is in force but not kept: {why}");
        }
    }

    /// It counts at once, as a list does.
    fn keep_conviction(&self, proof: &[u8]) {
        let Some(folder) = &self.convictions else {
            return;
        };
        let kept = folder
            .verify(proof)
            .map_err(|error| error.to_string())
            .and_then(|proof| folder.keep(&proof).map_err(|error| error.to_string()));
        if let Err(why) = kept {
            tracing::error!("a conviction is in force but lost at a restart: {why}");
        }
    }

    /// Hands a list to the nodes on the other interfaces, which verify it for themselves.
    fn share(&self, list: Vec<u8>) {
        self.lists.send_if_modified(|held| {
            let news = *held != list;
            *held = list;
            news
        });
    }

    /// What the node on another interface took; its own comes back too and is nothing new to it.
    fn take_shared(&mut self) -> Result<(), RunError> {
        let list = self.news.borrow_and_update().clone();
        let now = Time(clock::now());
        self.node.handle_input(now, Input::Revocations(&list));
        self.carry_out()
    }

    fn transmit(&mut self, destination: [u8; 16], payload: &[u8]) {
        let LinkLocal::Ready(source) = self.memory.address else {
            return self.count("unsendable");
        };
        match self.intake.socket.send(source, destination, payload) {
            Ok(()) => self.count("sent_datagrams"),
            Err(error) => {
                self.count("send_errors");
                tracing::debug!("cannot send: {error}");
            }
        }
    }

    fn beat(&mut self) -> Result<(), RunError> {
        self.plane.heartbeat(Time(clock::now()))?;
        if interface_index(&self.who.interface)? != self.who.index {
            return Err(RunError::InterfaceGone(self.who.interface.clone()));
        }
        self.look_at_address()
    }

    fn look_at_door(&mut self) -> Result<(), RunError> {
        let bytes = self.plane.refused_at_door()?;
        let input = Input::DoorRefused { bytes };
        self.node.handle_input(Time(clock::now()), input);
        self.carry_out()
    }

    fn look_at_address(&mut self) -> Result<(), RunError> {
        let found = LinkLocal::read(self.who.index).map_err(RunError::io("read addresses"))?;
        let before = std::mem::replace(&mut self.memory.address, found);
        if before == found {
            return Ok(());
        }
        tracing::info!("{}: {}", self.who.interface, found.describe());
        let input = match found {
            LinkLocal::Ready(address) => Input::AddressReady(address),
            LinkLocal::Checking(_) | LinkLocal::Duplicate(_) | LinkLocal::Missing => {
                if !matches!(before, LinkLocal::Ready(_)) {
                    return Ok(());
                }
                Input::AddressLost
            }
        };
        self.node.handle_input(Time(clock::now()), input);
        self.carry_out()
    }

    fn answer(&mut self, question: Question) -> Result<(), RunError> {
        let taken = match &question.request {
            Request::Take { list } => self.take(list),
            _ => Ok(()),
        };
        self.carry_out()?;
        let reply = taken.and_then(|()| self.reply(&question.request));
        // A client that has gone needs no answer.
        let _ = question
            .reply
            .send(reply.unwrap_or_else(|error| refusal(&error)));
        Ok(())
    }

    /// Hands a revocation list to the node, if it is one of this mesh.
    fn take(&mut self, list: &str) -> Result<(), String> {
        let Some(file) = &self.revocations else {
            return Err(
                "an open mesh has no root of its own: nobody can be expelled from it".into(),
            );
        };
        let bytes = hex::decode(list).map_err(|error| error.to_string())?;
        let list = file.verify(&bytes).map_err(|error| error.to_string())?;
        let now = Time(clock::now());
        self.node
            .handle_input(now, Input::Revocations(list.bytes()));
        Ok(())
    }

    fn reply(&self, request: &Request) -> Result<String, String> {
        let view = self.node.view(Time(clock::now()));
        let counters = || self.plane.counters().map_err(|error| error.to_string());
        let text = match request {
            Request::Status => serde_json::to_string(&report::status(Sources {
                who: &self.who,
                view: &view,
                filter: self.plane.status(),
                counters: &counters()?,
                node_counters: self.counters(),
                journal: &self.memory.journal,
                unkept: self.memory.unkept.as_deref(),
                address: self.memory.address,
                receive: self.intake.status(),
            })),
            Request::Peers => serde_json::to_string(&report::peers(&self.who, &view)),
            Request::Anchor => serde_json::to_string(&report::anchor(&self.who, &view)),
            Request::Revocations | Request::Take { .. } => {
                serde_json::to_string(&report::revocations(&self.who, &view, &self.memory))
            }
            Request::Epochs => serde_json::to_string(&report::epochs(&view)),
            Request::Drops => {
                serde_json::to_string(&report::drops(&counters()?, self.memory.samples.last()))
            }
            Request::Explain { frame } => serde_json::to_string(&self.explain(frame)?),
            Request::Follow { .. } => return Err("this is not a question".into()),
        };
        text.map_err(|error| error.to_string())
    }

    fn explain(&self, frame: &str) -> Result<Explanation, String> {
        let frame = explain::parse_frame(frame)?;
        let snapshot = self.snapshot(&frame).map_err(|error| error.to_string())?;
        let against = format!("the filter on {} as it is now", self.who.interface);
        Ok(explain::against_maps(&frame, &snapshot, &against))
    }

    fn snapshot(&self, frame: &[u8]) -> Result<explain::Snapshot, MapError> {
        let maps = self.plane.maps();
        let snapshot = explain::Snapshot::new(&maps.config()?, &maps.keys()?, clock::now());
        let claimed = explain::Snapshot::sender(frame);
        let known = maps
            .peers()?
            .into_iter()
            .find(|(id, _)| Some(*id) == claimed);
        Ok(match known {
            Some((id, slot)) => {
                snapshot.with_peer(id, slot, &maps.peer_row(slot), &maps.signed_row(slot))
            }
            None => snapshot,
        })
    }

    fn publish(&mut self, refusals: &[Refusal]) {
        for refusal in refusals {
            self.server
                .publish(self.memory.samples.record(clock::now(), refusal));
        }
    }

    fn leave(mut self) -> Result<(), RunError> {
        self.read_frames()?;
        self.node.handle_input(Time(clock::now()), Input::Leave);
        if let Some(keeper) = &self.keeper {
            keeper.forget();
        }
        self.carry_out()?;
        tracing::info!(
            "left the mesh; the filter stays on {} and refuses every mesh frame; \
             to remove it: `{}`",
            self.who.interface,
            self.who.undo()
        );
        Ok(())
    }

    /// What was counted here, and how full the inbox was.
    fn counters(&self) -> BTreeMap<String, u64> {
        let inbox = [
            ("joiners_waiting", self.inbox.len() as u64),
            ("joiners_waiting_most", self.inbox.longest as u64),
            ("joiners_overflow", self.inbox.overflow),
        ];
        let inbox = inbox.map(|(name, count)| (name.to_owned(), count));
        self.memory
            .counters
            .clone()
            .into_iter()
            .chain(inbox)
            .collect()
    }

    fn count(&mut self, what: &str) {
        match self.memory.counters.get_mut(what) {
            Some(count) => *count += 1,
            None => drop(self.memory.counters.insert(what.to_owned(), 1)),
        }
    }
}

async fn sampled(refusals: &mut Option<Events>) -> io::Result<Vec<Refusal>> {
    match refusals {
        Some(events) => events.next().await,
        None => pending().await,
    }
}

//! Election and epochs of a few nodes: every world they can reach, one by one (docs/EXHAUSTIVE.md).

mod act;
mod deed;
mod flight;
mod keys;
mod model;
mod order;
mod receive;
mod settle;
mod watch;
mod world;

use model::{Broken, Model, Start};
use stateright::{Checker, Expectation, HasDiscoveries, Model as _};
use world::Budget;

/// No fault, and no chain but the first.
const NOTHING: Budget = Budget {
    crashes: 0,
    restarts: 0,
    leaves: 0,
    cuts: 0,
    late: 0,
    copies: 0,
    announcements: 0,
    turns: 0,
    chains: 0,
};

/// Pulses within which any of these meshes is one again, once nothing goes wrong any more.
const WITHIN: u8 = 6;
/// Worlds met when this was written, rounded down: fewer means that something is no longer asked.
const CRASH: usize = 300_000;
const RACE: usize = 800_000;
const COLD: usize = 60_000;
const CUT: usize = 50_000;
const TURN: usize = 20_000;
const TURN_OF_TWO: usize = 70_000;
const LATE: usize = 480_000;
const LEAVE: usize = 75_000;

/// One announcement, one turn.
const TURNS: Budget = Budget {
    announcements: 1,
    turns: 1,
    ..NOTHING
};

/// What was met.
struct Found {
    worlds: usize,
    ticks: u8,
    failed: Vec<&'static str>,
    met: Vec<&'static str>,
}

/// Checks a model: whole, unless a property fails. Prints what was met, and the path to what failed.
fn check(name: &str, model: Model) -> Found {
    let checker = model
        .checker()
        .threads(1)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let model = checker.model();
    let settled = model.settled.lock().unwrap();
    let ticks = settled.values().map(|end| end.ticks).max().unwrap_or(0);
    drop(settled);
    let worlds = checker.unique_state_count();
    println!(
        "{name}: {worlds} worlds, {} steps, {} deep, back to one anchor within {ticks} pulses",
        checker.state_count(),
        checker.max_depth(),
    );
    let mut found = Found {
        worlds,
        ticks,
        failed: Vec::new(),
        met: Vec::new(),
    };
    for property in model.properties() {
        let Some(path) = checker.discovery(property.name) else {
            continue;
        };
        if property.expectation == Expectation::Sometimes {
            found.met.push(property.name);
            continue;
        }
        found.failed.push(property.name);
        println!("  broken: {}", property.name);
        let last = path.last_state().clone();
        for (world, action) in path.into_vec() {
            let action = action.map_or(String::new(), |action| format!("  -> {action:?}\n"));
            print!("{world}{action}");
        }
        if model.settle(&last).is_none() {
            println!("  and without faults, for ever:");
            model.story(&last);
        }
    }
    found
}

/// Whole, nothing broken, not fewer worlds than when this was written.
fn holds(name: &str, model: Model, floor: usize) -> Found {
    let found = check(name, model);
    assert_eq!(found.failed, Vec::<&str>::new(), "{name}");
    assert!(found.worlds >= floor, "{name}: {} worlds", found.worlds);
    found
}

/// Must be found.
fn breaks(name: &str, model: Model, property: &str) {
    let found = check(name, model);
    assert!(
        found.failed.contains(&property),
        "{name}: {:?}",
        found.failed
    );
}

fn settled(budget: Budget) -> Model {
    Model::new(3, Start::Settled, budget)
}

#[test]
fn three_nodes_lose_their_anchor_and_get_one_again() {
    let budget = Budget {
        crashes: 1,
        restarts: 1,
        chains: 1,
        ..NOTHING
    };
    let found = holds("crash and restart", settled(budget), CRASH);
    assert!(found.ticks <= WITHIN);
}

#[test]
fn three_nodes_that_race_for_the_succession_end_with_one_anchor() {
    let budget = Budget {
        chains: 2,
        ..NOTHING
    };
    let found = holds("two promotions", settled(budget), RACE);
    assert!(found.met.contains(&"two chains have one parent"));
    assert!(found.ticks <= WITHIN);
}

#[test]
fn three_nodes_start_cold_and_survive_a_crash() {
    let budget = Budget {
        crashes: 1,
        restarts: 1,
        chains: 1,
        ..NOTHING
    };
    holds("cold start", Model::new(3, Start::Cold, budget), COLD);
    let model = Model::new(3, Start::Cold, budget).contrary();
    holds("cold start, contrary serials", model, COLD);
}

#[test]
fn three_nodes_are_cut_and_become_one_mesh_again() {
    let budget = Budget {
        cuts: 1,
        chains: 1,
        ..NOTHING
    };
    let found = holds("partition", settled(budget), CUT);
    assert!(found.met.contains(&"two anchors reign on one link"));
    holds(
        "partition, contrary serials",
        settled(budget).contrary(),
        CUT,
    );
}

#[test]
fn three_nodes_turn_their_epoch_whoever_misses_it() {
    let budget = Budget {
        announcements: 1,
        turns: 1,
        ..NOTHING
    };
    holds("turn", settled(budget), TURN);
}

#[test]
fn two_nodes_turn_their_epoch_and_succeed_each_other() {
    let budget = Budget {
        crashes: 1,
        restarts: 1,
        chains: 1,
        ..TURNS
    };
    holds(
        "turn and succession of two",
        Model::new(2, Start::Settled, budget),
        TURN_OF_TWO,
    );
}

#[test]
#[ignore = "long: docs/EXHAUSTIVE.md says how long"]
fn three_nodes_turn_their_epoch_and_succeed_each_other() {
    let budget = Budget { chains: 1, ..TURNS };
    holds("turn and succession of three", settled(budget), 4_000_000);
}

#[test]
fn three_nodes_bear_late_and_doubled_frames() {
    let budget = Budget {
        late: 1,
        copies: 1,
        chains: 1,
        ..NOTHING
    };
    holds("late and doubled frames", settled(budget), LATE);
}

#[test]
fn three_nodes_let_their_anchor_leave() {
    let budget = Budget {
        leaves: 1,
        crashes: 1,
        chains: 1,
        ..NOTHING
    };
    holds("leaving", settled(budget), LEAVE);
}

#[test]
#[ignore = "long: docs/EXHAUSTIVE.md says how long"]
fn four_nodes_succeed_their_anchor() {
    let budget = Budget {
        chains: 1,
        ..NOTHING
    };
    let model = Model::new(4, Start::Settled, budget);
    assert!(holds("four nodes", model, 1_500_000).ticks <= WITHIN);
}

#[test]
fn following_whoever_was_heard_first_is_found() {
    let budget = Budget {
        chains: 2,
        ..NOTHING
    };
    let model = settled(budget).broken(Broken::FirstHeardWins);
    breaks(
        "first heard wins",
        model,
        "without faults the mesh converges",
    );
}

#[test]
fn seniority_by_ones_own_clock_is_found() {
    let budget = Budget {
        chains: 2,
        ..NOTHING
    };
    let model = Model::new(3, Start::Cold, budget).broken(Broken::OwnClock);
    breaks("own clock", model, "without faults the mesh converges");
}

#[test]
fn an_older_number_is_found() {
    let budget = Budget {
        announcements: 1,
        turns: 1,
        chains: 1,
        ..NOTHING
    };
    let model = settled(budget).broken(Broken::OlderNumber);
    breaks("older number", model, "no older number is accepted");
}

#[test]
fn deposing_a_living_anchor_is_found() {
    let budget = Budget {
        chains: 1,
        ..NOTHING
    };
    let model = settled(budget).broken(Broken::DeposesTheLiving);
    breaks(
        "deposes the living",
        model,
        "a living anchor is not deposed",
    );
}

//! A group that loses a rank ends with an error that says which.

use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use effnet_tests::free_port;
use tch::{Device, Tensor};
use torch_c10d::{GroupError, ProcessGroup, ProcessGroupOptions, Reduction};

use super::ranks::{Ranks, command, environment, group_within};

/// Every process but `lost` ended by itself, within `limit`, with an error that contains `words`.
fn the_others_name_it(ranks: Ranks, lost: usize, limit: u64, words: &str) {
    for (rank, ended) in ranks.end().iter().enumerate().filter(|(rank, _)| *rank != lost) {
        assert_eq!(ended.code, Some(0), "rank {rank}: {}", ended.output);
        let error = ended
            .output
            .lines()
            .find(|line| line.contains("error: "))
            .unwrap();
        assert!(error.contains(&format!("error: rank {rank}: ")), "{error}");
        assert!(error.contains(words), "`{words}` in {error}");
        assert!(
            ended.after < Duration::from_secs(limit),
            "rank {rank} after {:?}",
            ended.after
        );
    }
}

/// Adds up until that fails, as `hinder` makes it at the third time.
#[allow(clippy::print_stdout)]
fn add_up_until_it_fails(group: &ProcessGroup, hinder: impl Fn()) {
    for number in 0.. {
        if number == 2 {
            hinder();
        }
        if let Err(error) = group.all_reduce(&Tensor::from_slice(&[1.0f32]), Reduction::Sum) {
            println!("error: {error}");
            return;
        }
        sleep(Duration::from_millis(100));
    }
}

fn signal(name: &str) {
    let own = std::process::id().to_string();
    assert!(
        Command::new("kill")
            .args([name, &own])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn a_rank_that_is_killed_is_named() {
    let Some(group) = group_within(Duration::from_secs(60)) else {
        let ranks = Ranks::start("failures::a_rank_that_is_killed_is_named", 3);
        return the_others_name_it(ranks, 1, 40, "rank 1 (127.0.0.1) does not respond");
    };
    let rank = group.rank();
    add_up_until_it_fails(&group, || {
        if rank == 1 {
            signal("-KILL");
        }
    });
}

#[test]
fn the_rank_with_the_store_is_named_when_it_is_killed() {
    let Some(group) = group_within(Duration::from_secs(60)) else {
        let ranks = Ranks::start("failures::the_rank_with_the_store_is_named_when_it_is_killed", 3);
        return the_others_name_it(ranks, 0, 40, "rank 0 (127.0.0.1:");
    };
    let rank = group.rank();
    add_up_until_it_fails(&group, || {
        if rank == 0 {
            signal("-KILL");
        }
    });
}

#[test]
fn a_rank_that_stands_still_is_named_after_the_timeout() {
    let Some(group) = group_within(Duration::from_secs(5)) else {
        let test = "failures::a_rank_that_stands_still_is_named_after_the_timeout";
        let port = free_port();
        let mut ranks = Ranks::of((0..2).map(|rank| command(test, rank, 2, port)));
        // It cannot end by itself.
        sleep(Duration::from_secs(18));
        ranks.kill(1);
        return the_others_name_it(ranks, 1, 40, "rank 1 (127.0.0.1) does not respond");
    };
    let rank = group.rank();
    add_up_until_it_fails(&group, || {
        if rank == 1 {
            signal("-STOP");
        }
    });
}

#[test]
fn a_rank_that_does_other_work_is_named_after_the_timeout() {
    let Some(group) = group_within(Duration::from_secs(3)) else {
        let ranks = Ranks::start(
            "failures::a_rank_that_does_other_work_is_named_after_the_timeout",
            2,
        );
        return the_others_name_it(ranks, 1, 30, "rank 1 (127.0.0.1) is alive but behind");
    };
    let rank = group.rank();
    add_up_until_it_fails(&group, || {
        if rank == 1 {
            sleep(Duration::from_secs(10));
        }
    });
}

#[test]
fn the_error_that_ended_a_rank_is_told_by_the_others() {
    let Some(group) = group_within(Duration::from_secs(60)) else {
        let ranks = Ranks::start("failures::the_error_that_ended_a_rank_is_told_by_the_others", 2);
        return the_others_name_it(
            ranks,
            0,
            40,
            "rank 0 (127.0.0.1) failed: no space left on the device",
        );
    };
    if group.rank() == 0 {
        group.report_failure("no space left on the device");
        return;
    }
    add_up_until_it_fails(&group, || {});
}

#[allow(clippy::print_stdout)]
#[test]
fn ranks_that_never_come_are_listed() {
    let Some(environment) = environment() else {
        let test = "failures::ranks_that_never_come_are_listed";
        let port = free_port();
        let ranks = Ranks::of([0, 2].into_iter().map(|rank| command(test, rank, 4, port)));
        for ended in ranks.end() {
            assert_eq!(ended.code, Some(0), "{}", ended.output);
            assert!(
                ended
                    .output
                    .contains("2 of 4 ranks did not connect within 3 s: 1, 3"),
                "{}",
                ended.output
            );
        }
        return;
    };
    let options = ProcessGroupOptions::default().with_timeout(Duration::from_secs(3));
    let error = ProcessGroup::connect(&environment, &options).unwrap_err();
    println!("error: {error}");
    assert!(matches!(error, GroupError::Missing { .. }), "{error}");
    // Rank 0 serves the store that the other one still asks.
    sleep(Duration::from_secs(2));
}

/// What a rank says that connects with this device.
#[allow(clippy::print_stdout)]
fn connect_with(device: Device) {
    let options = ProcessGroupOptions::default()
        .with_timeout(Duration::from_secs(60))
        .with_device(device);
    let error = ProcessGroup::connect(&environment().unwrap(), &options).unwrap_err();
    println!("error: {error}");
}

#[test]
fn ranks_on_devices_of_other_kinds_are_refused() {
    let test = "failures::ranks_on_devices_of_other_kinds_are_refused";
    let Some(environment) = environment() else {
        let words = "rank 1 called connect on a CUDA device, but rank 0 called connect on the CPU";
        return the_others_name_it(Ranks::start(test, 2), usize::MAX, 40, words);
    };
    connect_with(match environment.rank {
        0 => Device::Cpu,
        _ => Device::Cuda(0),
    });
}

#[test]
fn a_group_without_the_devices_that_it_asks_for_is_refused() {
    let test = "failures::a_group_without_the_devices_that_it_asks_for_is_refused";
    if environment().is_none() {
        let words = "connecting the devices of the ranks failed: no CUDA device (load_cuda must be called \
                     before the first tensor)";
        return the_others_name_it(Ranks::start(test, 2), usize::MAX, 40, words);
    }
    // Even on a machine with a device, libtorch does not see it without `load_cuda`.
    connect_with(Device::Cuda(0));
}

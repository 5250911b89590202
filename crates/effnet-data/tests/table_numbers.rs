//! Tables with numbers to predict: which columns they are, and how they are written.

#![allow(clippy::unwrap_used, reason = "test code outside of test functions")]

mod images;
mod listed;

use effnet_architecture::Task;
use effnet_data::Splits;
use listed::{assert_says, home, notices, read, targets};

const IMAGES: [&str; 3] = ["a.bmp", "b.bmp", "c.bmp"];
const REGRESSION: Option<Task> = Some(Task::Regression);

#[test]
fn coordinates_are_predicted_together() {
    for (table, task, expected) in [
        (
            "path,x,y\na.bmp,3,4\nb.bmp,5,6\n",
            REGRESSION,
            "a.bmp x=3+y=4, b.bmp x=5+y=6",
        ),
        (
            "path,x,y\na.bmp,3.5,4.5\nb.bmp,5,6\n",
            None,
            "a.bmp x=3.5+y=4.5, b.bmp x=5+y=6",
        ),
        // Classes, and a number that they depend on.
        ("path,x,y\na.bmp,3.5,0\nb.bmp,5,1\n", None, "a.bmp 0, b.bmp 1"),
        (
            "path,x,y,who\na.bmp,3,4.5,me\nb.bmp,5,6,me\n",
            None,
            "a.bmp x=3+y=4.5, b.bmp x=5+y=6",
        ),
        (
            "path,X,Y,Z\na.bmp,3,4,5\nb.bmp,5,6,7\n",
            REGRESSION,
            "a.bmp X=3+Y=4+Z=5, b.bmp X=5+Y=6+Z=7",
        ),
        (
            "path,y,z\na.bmp,3,4\nb.bmp,5,6\n",
            REGRESSION,
            "a.bmp y=3, b.bmp y=5",
        ),
        (
            "path,x,y\na.bmp,left,4\nb.bmp,right,6\n",
            REGRESSION,
            "a.bmp y=4, b.bmp y=6",
        ),
        ("path,x,y\na.bmp,3,4\nb.bmp,5,6\n", None, "a.bmp 4, b.bmp 6"),
    ] {
        assert_eq!(read(&IMAGES, table, task).as_deref(), Ok(expected), "{table}");
    }
}

#[test]
fn identifiers_are_not_predicted() {
    for (table, ignored) in [
        ("id,path,price\n1,a.bmp,3\n2,b.bmp,5\n", "ignored columns: id"),
        ("path,price,fold\na.bmp,3,0\nb.bmp,5,1\n", "ignored columns: fold"),
        (
            "path,kfold,price,Group\na.bmp,1,3,0\nb.bmp,2,5,1\n",
            "ignored columns: kfold, Group",
        ),
        (
            "index,path,price\n1,a.bmp,3\n2,b.bmp,5\n",
            "ignored columns: index",
        ),
        (
            ",path,price,idx\n1,a.bmp,3,1\n2,b.bmp,5,2\n",
            "ignored columns: column 1, idx",
        ),
        (
            "Unnamed: 0,path,price\n1,a.bmp,3\n2,b.bmp,5\n",
            "ignored columns: Unnamed: 0",
        ),
    ] {
        let root = home(&IMAGES, table);
        let splits = Splits::open_for(root.path().join("list.csv"), REGRESSION).unwrap();
        assert_eq!(
            targets(root.path(), &*splits.train),
            "a.bmp price=3, b.bmp price=5",
            "{table}"
        );
        assert_eq!(notices(&splits.reading.notices, false), [ignored], "{table}");
    }
    for (table, task, expected) in [
        (
            "path,fold\na.bmp,3\nb.bmp,5\n",
            REGRESSION,
            "a.bmp fold=3, b.bmp fold=5",
        ),
        (
            "path,index\na.bmp,3\nb.bmp,5\n",
            REGRESSION,
            "a.bmp index=3, b.bmp index=5",
        ),
        // An index of a market has fractions.
        (
            "path,index,price\na.bmp,3.5,1\nb.bmp,5,2\n",
            REGRESSION,
            "a.bmp index=3.5+price=1, b.bmp index=5+price=2",
        ),
        (
            "id,path,price\n1,a.bmp,3.5\n2,b.bmp,5\n",
            None,
            "a.bmp price=3.5, b.bmp price=5",
        ),
    ] {
        assert_eq!(read(&IMAGES, table, task).as_deref(), Ok(expected), "{table}");
    }
    for table in [
        "id,path,price\n1,a.bmp,3\n2,b.bmp,5\n",
        "path,weight,height\na.bmp,3,4\nb.bmp,5,6\n",
    ] {
        assert_says(&read(&IMAGES, table, None).unwrap_err(), &["--task regression"]);
    }
    // The numbers of the rows say nothing of the images.
    let error = read(&IMAGES, ",path,caption\n1,a.bmp,b\n2,b.bmp,c\n", REGRESSION).unwrap_err();
    assert_says(&error, &["a column of numbers"]);
}

#[test]
fn numbers_may_have_decimal_commas() {
    for (table, task) in [
        ("path;price\na.bmp;1,5\nb.bmp;-2\n", None),
        ("path;price\na.bmp;1,5\nb.bmp;-2\n", REGRESSION),
        ("path\tprice\na.bmp\t1,5\nb.bmp\t-2,0\n", None),
        ("path;price;id\na.bmp;1,5;1\nb.bmp;-2,0;2\n", None),
    ] {
        assert_eq!(
            read(&IMAGES, table, task).as_deref(),
            Ok("a.bmp price=1.5, b.bmp price=-2"),
            "{table}"
        );
    }
    // The first fraction may be far below the rows that decide.
    let far: String = (0..300).map(|_| "a.bmp;2\n").collect();
    for last in ["1,5", "1.5"] {
        let found = read(&IMAGES, &format!("path;price\n{far}b.bmp;{last}\n"), REGRESSION);
        assert_eq!(found.as_deref(), Ok("a.bmp price=2, b.bmp price=1.5"));
    }
    for (table, task, expected) in [
        (
            "path;labels\na.bmp;1,5\nb.bmp;5,7\n",
            None,
            "a.bmp 1,5, b.bmp 5,7",
        ),
        (
            "path;label\na.bmp;1,5\nb.bmp;5,7\n",
            Some(Task::MultiLabel),
            "a.bmp 1+5, b.bmp 5+7",
        ),
        (
            "path;label\na.bmp;1,5\nb.bmp;5,7\n",
            Some(Task::Classify),
            "a.bmp 1,5, b.bmp 5,7",
        ),
    ] {
        assert_eq!(read(&IMAGES, table, task).as_deref(), Ok(expected), "{table}");
    }
    for (table, words) in [
        (
            "path;label\na.bmp;1,5\nb.bmp;2\nc.bmp;1.234,5\n",
            "`1.234,5` in column label on line 4",
        ),
        (
            "path,label\na.bmp,\"1,5\"\nb.bmp,2\n",
            "`1,5` in column label on line 2",
        ),
    ] {
        assert_says(&read(&IMAGES, table, REGRESSION).unwrap_err(), &[words]);
    }
    let far: String = (0..300).map(|_| "a.bmp;2,5\n").collect();
    let error = read(&IMAGES, &format!("path;price\n{far}b.bmp;1.234\n"), REGRESSION).unwrap_err();
    assert_says(&error, &["`1.234` in column price on line 302"]);
}

#[test]
fn folds_and_frames_beside_what_is_predicted_add_nothing() {
    for (table, task, expected) in [
        (
            "path,label,confidence,fold\na.bmp,3.5,0.9,0\nb.bmp,2.5,0.8,1\n",
            None,
            "a.bmp label=3.5, b.bmp label=2.5",
        ),
        (
            "path,x,y,frame\na.bmp,3,4.5,7\nb.bmp,5,6,8\n",
            REGRESSION,
            "a.bmp x=3+y=4.5, b.bmp x=5+y=6",
        ),
    ] {
        assert_eq!(read(&IMAGES, table, task).as_deref(), Ok(expected), "{table}");
    }
}

#[test]
fn a_comma_that_may_separate_thousands_is_not_a_decimal_one() {
    let table = "path;price\na.bmp;1,250\nb.bmp;950\n";
    assert_says(
        &read(&IMAGES, table, REGRESSION).unwrap_err(),
        &["a column of numbers"],
    );
    let far: String = (0..300).map(|_| "a.bmp;2\n").collect();
    let error = read(&IMAGES, &format!("path;price\n{far}b.bmp;1,250\n"), REGRESSION).unwrap_err();
    assert_says(&error, &["`1,250` in column price on line 302"]);
    for (table, expected) in [
        // Each of these has a number that is none of thousands.
        (
            "path;price\na.bmp;1,250\nb.bmp;1,5\n",
            "a.bmp price=1.25, b.bmp price=1.5",
        ),
        (
            "path;price\na.bmp;0,250\nb.bmp;1,250\n",
            "a.bmp price=0.25, b.bmp price=1.25",
        ),
    ] {
        assert_eq!(
            read(&IMAGES, table, REGRESSION).as_deref(),
            Ok(expected),
            "{table}"
        );
    }
}

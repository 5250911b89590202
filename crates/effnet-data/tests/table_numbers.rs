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
            "path,x,y\na.bmp,3.5,4\nb.bmp,5,6\n",
            None,
            "a.bmp x=3.5+y=4, b.bmp x=5+y=6",
        ),
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

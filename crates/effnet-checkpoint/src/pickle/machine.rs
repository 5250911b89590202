//! Executes the opcodes of protocols 0 to 5, except that calls are recorded instead of made.

use std::collections::HashMap;

use super::graph::{Graph, Node, Object, Value};
use super::reader::Reader;
use super::{PickleError, text};
use crate::budget::Budget;

/// Maximum size of a pickle. The pickle of a checkpoint with 1200 tensors is about 0.2 MB.
const MAX_PICKLE_BYTES: usize = 1 << 30;

/// Reads the pickle at the start of `bytes`; whatever follows its STOP is ignored. Each instruction is
/// charged to the budget.
pub(crate) fn load<'a>(bytes: &'a [u8], budget: &'a Budget) -> Result<Graph<'a>, PickleError> {
    let bytes = &bytes[..bytes.len().min(MAX_PICKLE_BYTES)];
    let mut machine = Machine {
        reader: Reader { bytes, position: 0 },
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        nodes: Vec::new(),
        texts: Vec::new(),
        budget,
    };
    while budget.instruction() {
        if machine.step()? == Flow::Stop {
            let root = machine.pop()?;
            return Ok(Graph {
                bytes,
                nodes: machine.nodes,
                texts: machine.texts,
                root,
                consumed: machine.reader.position,
                budget,
            });
        }
    }
    Err(machine
        .reader
        .error("it has far more instructions than the size of the file justifies"))
}

#[derive(PartialEq)]
enum Flow {
    Next,
    Stop,
}

struct Machine<'a> {
    reader: Reader<'a>,
    stack: Vec<Value>,
    /// Height of the stack at each open MARK.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    nodes: Vec<Node>,
    texts: Vec<String>,
    budget: &'a Budget,
}

type Done = Result<(), PickleError>;

impl Machine<'_> {
    fn step(&mut self) -> Result<Flow, PickleError> {
        let opcode = self.reader.u8()?;
        match opcode {
            b'.' => return Ok(Flow::Stop),
            0x80 => {
                let protocol = self.reader.u8()?;
                if protocol > 5 {
                    return Err(self
                        .reader
                        .error(format!("pickle protocol {protocol} is unknown")));
                }
            }
            0x95 => drop(self.reader.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => self.discard()?,
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' | b'I' | b'J' | b'K' | b'M' | b'L' | b'F' | b'G' | 0x88..=0x8b => self.number(opcode)?,
            b'S' | b'T' | b'U' | b'V' | b'X' | b'B' | b'C' | 0x8c..=0x8e | 0x96 => self.string(opcode)?,
            b'p' | b'q' | b'r' | 0x94 | b'g' | b'h' | b'j' => self.memory(opcode)?,
            b')' | b't' | 0x85..=0x87 | b']' | b'l' | b'}' | b'd' | 0x8f | 0x91 => self.container(opcode)?,
            b'a' | b'e' | b's' | b'u' | 0x90 => self.fill(opcode)?,
            b'c' | 0x93 | 0x82..=0x84 => self.global(opcode)?,
            b'P' | b'Q' => self.persistent(opcode)?,
            b'R' | 0x81 | 0x92 | b'i' | b'o' | b'b' => self.call(opcode)?,
            0x97 | 0x98 => return Err(self.reader.error("it refers to out-of-band buffers")),
            other => {
                return Err(self
                    .reader
                    .error(format!("byte 0x{other:02x} is not a pickle opcode")));
            }
        }
        Ok(Flow::Next)
    }

    fn number(&mut self, opcode: u8) -> Done {
        let value = match opcode {
            b'N' => Value::None,
            0x88 => Value::Bool(true),
            0x89 => Value::Bool(false),
            b'J' => Value::Int(i64::from(self.reader.u32()? as i32)),
            b'K' => Value::Int(i64::from(self.reader.u8()?)),
            b'M' => Value::Int(i64::from(self.reader.u16()?)),
            b'G' => Value::Float(self.reader.f64()? as f32),
            b'F' => {
                self.reader.line()?;
                Value::Float(f32::NAN)
            }
            0x8a => {
                let len = self.reader.u8()?;
                self.reader.long(usize::from(len))?
            }
            0x8b => {
                let len = self.reader.u32()?;
                self.reader.long(len as usize)?
            }
            _ => self.decimal()?,
        };
        self.stack.push(value);
        Ok(())
    }

    /// INT and LONG: a line of decimal digits. Protocol 0 writes booleans as `I00` and `I01`.
    fn decimal(&mut self) -> Result<Value, PickleError> {
        let line = self.reader.line()?;
        let digits = self.reader.slice(line).trim_ascii();
        if digits == b"00" || digits == b"01" {
            return Ok(Value::Bool(digits == b"01"));
        }
        let digits = digits.strip_suffix(b"L").unwrap_or(digits);
        let number = std::str::from_utf8(digits)
            .ok()
            .and_then(|text| text.parse().ok());
        // A number beyond 64 bits keeps its digits; the only one is the magic number of a stream.
        Ok(number.map_or(line, Value::Int))
    }

    fn string(&mut self, opcode: u8) -> Done {
        let value = match opcode {
            b'S' | b'V' => {
                let line = self.reader.line()?;
                let raw = self.reader.slice(line);
                if !self.budget.hold(text::decoded_len(raw)) {
                    return Err(self
                        .reader
                        .error("its strings exceed the memory limit for reading the file"));
                }
                let decoded = if opcode == b'S' {
                    text::quoted(raw)
                } else {
                    Some(text::raw_unicode(raw))
                };
                let decoded = decoded.ok_or_else(|| self.reader.error("a string has no closing quote"))?;
                self.texts.push(decoded);
                Value::Text(self.texts.len() as u32 - 1)
            }
            b'U' | b'C' | 0x8c => {
                let len = usize::from(self.reader.u8()?);
                self.reader.span(len)?
            }
            b'T' | b'B' | b'X' => {
                let len = self.reader.u32()? as usize;
                self.reader.span(len)?
            }
            _ => {
                let len = self.reader.len64()?;
                self.reader.span(len)?
            }
        };
        self.stack.push(value);
        Ok(())
    }

    fn memory(&mut self, opcode: u8) -> Done {
        let slot = match opcode {
            0x94 => self.memo.len() as u32,
            b'q' | b'h' => u32::from(self.reader.u8()?),
            b'r' | b'j' => self.reader.u32()?,
            _ => {
                let line = self.reader.line()?;
                let digits = std::str::from_utf8(self.reader.slice(line)).ok();
                let slot = digits.and_then(|digits| digits.trim().parse().ok());
                slot.ok_or_else(|| self.reader.error("a memo index is not a number"))?
            }
        };
        if matches!(opcode, b'g' | b'h' | b'j') {
            let found = self.memo.get(&slot).copied();
            let value = found.ok_or_else(|| self.reader.error(format!("memo {slot} was never set")))?;
            self.stack.push(value);
        } else {
            let top = self.top()?;
            self.memo.insert(slot, top);
        }
        Ok(())
    }

    fn container(&mut self, opcode: u8) -> Done {
        let node = match opcode {
            b')' => Node::Tuple(Box::default()),
            b'}' => Node::Dict(Vec::new()),
            b']' => Node::List(Vec::new()),
            0x8f => Node::Set(Vec::new()),
            b't' => Node::Tuple(self.pop_mark()?.into_boxed_slice()),
            b'l' => Node::List(self.pop_mark()?),
            0x91 => Node::Set(self.pop_mark()?),
            b'd' => {
                let flat = self.pop_mark()?;
                Node::Dict(self.pairs(&flat)?)
            }
            _ => {
                let count = usize::from(opcode - 0x84);
                let height = self
                    .stack
                    .len()
                    .checked_sub(count)
                    .filter(|&height| height >= self.floor());
                let height = height.ok_or_else(|| self.reader.error("the stack is empty"))?;
                Node::Tuple(self.stack.split_off(height).into_boxed_slice())
            }
        };
        self.push_node(node);
        Ok(())
    }

    /// APPEND, APPENDS, SETITEM, SETITEMS, ADDITEMS: adds values to the container below them.
    fn fill(&mut self, opcode: u8) -> Done {
        let values = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_mark()?,
        };
        let target = self.top()?;
        let pairs = if matches!(opcode, b's' | b'u') {
            self.pairs(&values)?
        } else {
            Vec::new()
        };
        let Value::Node(index) = target else {
            return Err(self
                .reader
                .error("values are added to something that is not a container"));
        };
        match (&mut self.nodes[index as usize], opcode) {
            (Node::Dict(items), b's' | b'u') => items.extend(pairs),
            (Node::Object(object), b's' | b'u') => object.items.extend(pairs),
            (Node::List(items), b'a' | b'e') | (Node::Set(items), 0x90) => items.extend(values),
            (Node::Object(object), b'a' | b'e' | 0x90) => object.elements.extend(values),
            _ => {
                return Err(self
                    .reader
                    .error("values are added to the wrong kind of container"));
            }
        }
        Ok(())
    }

    fn global(&mut self, opcode: u8) -> Done {
        let (module, name) = match opcode {
            b'c' => (self.reader.line()?, self.reader.line()?),
            0x93 => {
                let name = self.pop()?;
                (self.pop()?, name)
            }
            // Extension codes refer to a registry of the writing process: the name is not in the file.
            _ => {
                self.reader.take([1, 2, 4][usize::from(opcode - 0x82)])?;
                (Value::None, Value::None)
            }
        };
        self.push_node(Node::Global { module, name });
        Ok(())
    }

    fn persistent(&mut self, opcode: u8) -> Done {
        let id = if opcode == b'P' {
            self.reader.line()?
        } else {
            self.pop()?
        };
        self.push_node(Node::Persistent(id));
        Ok(())
    }

    /// REDUCE, NEWOBJ, NEWOBJ_EX, INST, OBJ create an object; BUILD sets its state.
    fn call(&mut self, opcode: u8) -> Done {
        let (class, args) = match opcode {
            b'b' => {
                let state = self.pop()?;
                if let Value::Node(index) = self.top()?
                    && let Node::Object(object) = &mut self.nodes[index as usize]
                {
                    object.states.push(state);
                }
                return Ok(());
            }
            b'i' => {
                let (module, name) = (self.reader.line()?, self.reader.line()?);
                let args = self.pop_mark()?.into_boxed_slice();
                self.push_node(Node::Global { module, name });
                let class = self.pop()?;
                self.push_node(Node::Tuple(args));
                (class, self.pop()?)
            }
            b'o' => {
                let mut values = self.pop_mark()?;
                if values.is_empty() {
                    return Err(self.reader.error("an object has no class"));
                }
                let class = values.remove(0);
                self.push_node(Node::Tuple(values.into_boxed_slice()));
                (class, self.pop()?)
            }
            _ => {
                if opcode == 0x92 {
                    self.pop()?;
                }
                let args = self.pop()?;
                (self.pop()?, args)
            }
        };
        let object = Object {
            class,
            args,
            states: Vec::new(),
            items: Vec::new(),
            elements: Vec::new(),
        };
        self.push_node(Node::Object(Box::new(object)));
        Ok(())
    }

    fn push_node(&mut self, node: Node) {
        self.nodes.push(node);
        self.stack.push(Value::Node(self.nodes.len() as u32 - 1));
    }

    /// Returns the height of the stack at the innermost open MARK, below which nothing can be popped.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn top(&self) -> Result<Value, PickleError> {
        let open = self.stack.get(self.floor()..).unwrap_or_default();
        open.last()
            .copied()
            .ok_or_else(|| self.reader.error("the stack is empty"))
    }

    fn pop(&mut self) -> Result<Value, PickleError> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    /// POP: removes the top value, or the MARK if that is on top.
    fn discard(&mut self) -> Done {
        if self.marks.last() == Some(&self.stack.len()) {
            self.marks.pop();
            return Ok(());
        }
        self.pop().map(drop)
    }

    fn pop_mark(&mut self) -> Result<Vec<Value>, PickleError> {
        let height = self
            .marks
            .pop()
            .ok_or_else(|| self.reader.error("a MARK is missing"))?;
        Ok(self.stack.split_off(height.min(self.stack.len())))
    }

    fn pairs(&self, flat: &[Value]) -> Result<Vec<(Value, Value)>, PickleError> {
        if !flat.len().is_multiple_of(2) {
            return Err(self.reader.error("a key has no value"));
        }
        Ok(flat.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }
}

// The data of the run; a live page gets it anew.

let data = null;
let iterations = [];  // of the summary; 0 is the base model
let trained = [];
let tasks = { n: 0, total: 0, count: [0, 0], at: null, answered: null, left_out: "" };  // columns by name, one place per task

const POOL = 0;
const HELD_OUT = 1;
const CODED = ["set", "topic", "reason"];

function take(newData) {
  data = newData;
  iterations = data.summary.iterations;
  trained = iterations.filter((entry) => entry.iteration > 0);
}

function takeTasks({ columns, ...rest }) {
  tasks = { ...rest, ...columns };
  for (const name of CODED) {
    const { values, codes } = columns[name];
    tasks[name] = codes.map((code) => (code === null ? null : values[code]));  // the same few strings, shared
  }
  tasks.count = [POOL, HELD_OUT].map((origin) => tasks.origin.filter((of) => of === origin).length);
}

const keyOf = (i) => `${tasks.origin[i]} ${tasks.iteration[i]} ${tasks.task_id[i]}`;

// What a task is placed by: the agreement of a pool's votes, or the share of right answers to a held-out problem.
const shareOf = (i) => (tasks.origin[i] === POOL ? tasks.p_hat[i] : known(tasks.samples_right[i]) && tasks.k[i] ? tasks.samples_right[i] / tasks.k[i] : null);

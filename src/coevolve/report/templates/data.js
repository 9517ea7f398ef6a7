// The data of the run; a live page gets it anew.

let data = null;
let tasks = { n: 0, total: 0, count: [0, 0], reasons: {}, at: null, answered: null, left_out: "" };  // columns by name, one place per task

const WRITTEN = 0;
const HELD_OUT = 1;
const CODED = ["set", "topic", "reason", "fate"];

function take(newData) {
  data = newData;
}

function takeTasks({ columns, ...rest }) {
  tasks = { ...rest, ...columns };
  for (const name of CODED) {
    const { values, codes } = columns[name];
    tasks[name] = codes.map((code) => (code === null ? null : values[code]));  // the same few strings, shared
  }
  tasks.count = [WRITTEN, HELD_OUT].map((origin) => tasks.origin.filter((of) => of === origin).length);
}

const keyOf = (i) => `${tasks.origin[i]} ${tasks.iteration[i]} ${tasks.task_id[i]}`;

// What a task is placed by: the agreement of the votes on it, or the share of right answers to a held-out problem.
const shareOf = (i) => (tasks.origin[i] === WRITTEN ? tasks.p_hat[i] : known(tasks.samples_right[i]) && tasks.k[i] ? tasks.samples_right[i] / tasks.k[i] : null);

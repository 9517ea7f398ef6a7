// The data of the run; a live page gets it anew.

let data = null;
let iterations = [];  // of the summary; 0 is the base model
let trained = [];

function take(newData) {
  data = newData;
  iterations = data.summary.iterations;
  trained = iterations.filter((entry) => entry.iteration > 0);
}

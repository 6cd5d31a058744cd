// Prints when the clocks of a zone last changed, in seconds since the epoch: the newest change that
// three days have passed since.
const zone = process.argv[2] ?? "UTC";
const DAY_S = 86_400;
const QUARTER_S = 900;

const format = new Intl.DateTimeFormat("en-US", { timeZone: zone, timeZoneName: "longOffset" });
const offset = (seconds) => format.format(new Date(seconds * 1_000)).split(", ")[1];

const newest = Math.floor(Date.now() / 1_000 / DAY_S) * DAY_S - 3 * DAY_S;
let day = newest;
while (offset(day) === offset(day - DAY_S)) {
  day -= DAY_S;
  if (newest - day > 370 * DAY_S) throw new Error(`${zone} has changed no clock for a year`);
}
let change = day;
while (offset(change - QUARTER_S) === offset(day)) change -= QUARTER_S;
console.log(change);

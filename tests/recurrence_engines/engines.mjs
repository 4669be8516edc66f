// Reads [[rule, start, count], ...] and answers for each engine the local times after the start.
import ICAL from "ical.js";
import rrule from "rrule";

const cases = JSON.parse(process.argv[2]);

function after(times, start, count) {
  const found = [];
  for (const time of times) {
    if (time > start) found.push(time);
    if (found.length === count) break;
  }
  return found;
}

function* ofIcal(rule, start) {
  const iterator = ICAL.Recur.fromString(rule).iterator(ICAL.Time.fromString(start));
  for (let time = iterator.next(); time; time = iterator.next()) yield time.toString();
}

function ofRrule(rule, start, count) {
  // It counts in UTC, which stands for local time here.
  const options = { ...rrule.RRule.parseString(rule), dtstart: new Date(`${start}Z`) };
  return new rrule.RRule(options).all((_, index) => index <= count).map((time) => time.toISOString().slice(0, 19));
}

function told(work) {
  try {
    return work();
  } catch (error) {
    return `refused`;
  }
}

const answers = cases.map(([rule, start, count]) => ({
  "rrule.js": told(() => after(ofRrule(rule, start, count), start, count)),
  "ical.js": told(() => after(ofIcal(rule, start), start, count)),
}));
console.log(JSON.stringify(answers));

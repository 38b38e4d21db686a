// Times, durations and long ids as a person reads them. Everything shown is UTC unless it says otherwise.

export const ms = (iso) => (iso ? Date.parse(iso) : NaN);

const pad = (n, width = 2) => String(n).padStart(width, "0");

export function clock(iso, withMillis = true) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return "";
  const text = `${pad(at.getUTCHours())}:${pad(at.getUTCMinutes())}:${pad(at.getUTCSeconds())}`;
  return withMillis ? `${text}.${pad(at.getUTCMilliseconds(), 3)}` : text;
}

export function toLocal(iso) {
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? "" : `${at.toLocaleString()} (your time)`;
}

export function duration(millis) {
  if (!Number.isFinite(millis)) return "";
  const value = Math.max(0, millis);
  if (value < 1000) return `${Math.round(value)} ms`;
  if (value < 60_000) return `${(value / 1000).toFixed(value < 10_000 ? 2 : 1)} s`;
  const minutes = Math.floor(value / 60_000);
  if (minutes < 60) return `${minutes} min ${Math.round((value % 60_000) / 1000)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

/** A round length on an axis: no more digits than it has. */
export function tick(millis) {
  if (millis < 1000) return `${millis} ms`;
  if (millis < 60_000) return `${millis / 1000} s`;
  if (millis < 3_600_000) return millis % 60_000 ? `${Math.floor(millis / 60_000)} min ${(millis % 60_000) / 1000} s` : `${millis / 60_000} min`;
  return `${+(millis / 3_600_000).toFixed(2)} h`;
}

export function bytes(count) {
  if (!Number.isFinite(count)) return "";
  return count < 1 << 20 ? `${(count / 1024).toFixed(1)} KiB` : `${(count / (1 << 20)).toFixed(1)} MiB`;
}

export const grouped = (n) => String(n).replace(/\B(?=(\d{3})+(?!\d))/g, "\u202f");

export const short = (text, head = 8, tail = 6) =>
  !text || text.length <= head + tail + 1 ? text || "" : `${text.slice(0, head)}…${text.slice(-tail)}`;

/** What running ahead saved, as the server says it (`saved` of the template tags). */
export function saved(figures) {
  if (figures.saved_seconds === null) return "not known yet";
  const [gain, took, without] = [figures.saved_seconds, figures.took_seconds, figures.without_seconds].map((value) => value * 1000);
  if (!gain) return "nothing so far";
  return `${gain < 0 ? "−" : ""}${duration(Math.abs(gain))} (${duration(took)} instead of ${duration(without)})`;
}

/** How the attempts that ran ahead fared, as the server says it (`hits`). */
export function hits(figures) {
  const { ran_ahead: ahead, ran_ahead_ended: ended, ran_ahead_confirmed: confirmed, hit_rate: rate } = figures;
  if (!ahead) return "none";
  return ended ? `${confirmed} of ${ended} confirmed (${Math.round(100 * rate)}\u00a0%)` : `${ahead} under way`;
}

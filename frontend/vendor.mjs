// Copies the built files the pages load, with their licences, into ../assets/vendor and writes
// manifest.json: for each file its package, version and SHA-256. Run by `npm run vendor`.
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const target = join(here, "..", "assets", "vendor");

// package -> files to take; cytoscape-dagre's build has dagre and graphlib inside, so their licences come too
const taken = {
  cytoscape: ["dist/cytoscape.min.js"],
  "cytoscape-dagre": ["dist/cytoscape-dagre.min.js"],
  "@dagrejs/dagre": [],
  "@dagrejs/graphlib": [],
};

rmSync(target, { recursive: true, force: true });
mkdirSync(join(target, "licences"), { recursive: true });

const manifest = {};
for (const [name, files] of Object.entries(taken)) {
  const root = join(here, "node_modules", name);
  const about = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const licence = `licences/${name.replace("@", "").replace("/", "-")}.txt`;
  copyFileSync(join(root, "LICENSE"), join(target, licence));
  const entry = { version: about.version, licence: about.license, licence_file: licence, files: {} };
  for (const file of files) {
    const base = file.split("/").pop();
    // the map is not vendored, so its pointer goes
    const code = readFileSync(join(root, file), "utf8").replace(/\n\/\/# sourceMappingURL=.*\s*$/, "\n");
    writeFileSync(join(target, base), code);
    entry.files[base] = createHash("sha256").update(code).digest("hex");
  }
  manifest[name] = entry;
}
writeFileSync(join(target, "manifest.json"), JSON.stringify(manifest, null, 2) + "\n");

// Prometheus' text format, read strictly: every line must parse, as `promtool check metrics` would have it.

export interface Sample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly value: number;
}

export interface Family {
  readonly type: string;
  readonly help: string;
  readonly samples: Sample[];
}

const NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*";
const HELP = new RegExp(`^# HELP (${NAME}) (.+)$`);
const TYPE = new RegExp(`^# TYPE (${NAME}) (counter|gauge|histogram)$`);
const SAMPLE = new RegExp(`^(${NAME})(?:\\{(.*)\\})? (\\S+)$`);
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/;
const NUMBER = /^[+-]?(?:\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|Inf)$|^NaN$/;

/** One scrape. Reading fails at the first line that is not in the format. */
export class Metrics {
  readonly families = new Map<string, Family>();

  constructor(text: string) {
    if (!text.endsWith("\n")) throw new Error("the last line has no end");
    let help = "", family: Family | null = null, name = "";
    for (const line of text.split("\n")) {
      if (line === "") continue;
      const asHelp = HELP.exec(line), asType = TYPE.exec(line);
      if (asHelp !== null) {
        [, name, help] = asHelp as unknown as [string, string, string];
        family = null;
      } else if (asType !== null) {
        if (asType[1] !== name) throw new Error(`TYPE without HELP before it: ${line}`);
        if (this.families.has(name)) throw new Error(`a second family of this name: ${line}`);
        this.families.set(name, family = { type: asType[2]!, help, samples: [] });
      } else {
        const sample = readSample(line);
        if (family === null || !belongs(sample.name, name, family.type)) {
          throw new Error(`a sample outside of its family: ${line}`);
        }
        family.samples.push(sample);
      }
    }
  }

  /** The sum of a family's samples that have all these labels; 0 when there are none. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    return this.samples(name, labels).reduce((sum, { value }) => sum + value, 0);
  }

  samples(name: string, labels: Readonly<Record<string, string>> = {}): Sample[] {
    const family = this.families.get(name) ?? this.families.get(name.replace(/_(bucket|sum|count)$/, ""));
    if (family === undefined) throw new Error(`there is no metric ${name}`);
    const wanted = Object.entries(labels);
    return family.samples.filter((sample) =>
      sample.name === name && wanted.every(([label, value]) => sample.labels.get(label) === value)
    );
  }
}

function readSample(line: string): Sample {
  const parts = SAMPLE.exec(line);
  if (parts === null || !NUMBER.test(parts[3]!)) throw new Error(`not a sample: ${line}`);
  const labels = new Map<string, string>();
  let rest = parts[2] ?? "";
  while (rest !== "") {
    const label = LABEL.exec(rest);
    if (label === null || labels.has(label[1]!)) throw new Error(`labels cannot be read: ${line}`);
    labels.set(label[1]!, label[2]!.replace(/\\(["\\n])/g, (_, c: string) => c === "n" ? "\n" : c));
    rest = rest.slice(label[0].length);
  }
  return { name: parts[1]!, labels, value: Number(parts[3]!.replace("Inf", "Infinity")) };
}

function belongs(sample: string, family: string, type: string): boolean {
  if (type !== "histogram") return sample === family;
  return sample.startsWith(`${family}_`) && /^(bucket|sum|count)$/.test(sample.slice(family.length + 1));
}

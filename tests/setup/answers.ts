const kept = 8;
const answers: string[] = [];

/** Keeps what an endpoint answered in the running test, the last few of them. */
export function keepAnswer(answer: string): void {
  answers.push(answer);
  if (answers.length > kept) answers.shift();
}

/** The answers of the test, the oldest first; from then on another test's are kept. */
export function takeAnswers(): string[] {
  return answers.splice(0);
}

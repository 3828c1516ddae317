import { expect, test } from 'vitest';
import { howToInstall, missingServices } from './test-services.ts';

test('what is missing is said with the command that installs it on each system', () => {
  expect(howToInstall(['postgresql', 'java'])).toBe(`The tests need postgresql, java. Install with
  Debian, Ubuntu: sudo apt-get install -y postgresql openjdk-17-jre-headless
  Fedora:         sudo dnf install -y postgresql-server java-latest-openjdk-headless
  macOS:          brew install postgresql openjdk`);
});

test('while tests run nothing is missing', () => {
  expect(missingServices()).toEqual([]);
});
